"""What the tracking server needs beyond MLflow itself to run on Kubernetes."""
