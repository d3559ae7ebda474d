"""The server's processes, and the layers that a request passes before it reaches MLflow."""
