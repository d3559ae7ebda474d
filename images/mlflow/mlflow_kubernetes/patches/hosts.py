"""MLflow's check of the Host header, which the layer Hosts does in its place."""

from mlflow.server import fastapi_security, security


def install() -> None:
    """Have MLflow accept every Host header: a request passes server/hosts.py first.

    MLflow compares a Host header with patterns of letters, in which `10.*` is also the name
    `10.evil.example`, and refuses addresses that a network of the setting has.
    """
    for module in (security, fastapi_security):
        module.is_allowed_host_header = lambda *_: True
