"""The server package on a real MLflow, in seconds."""
