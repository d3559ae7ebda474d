"""All patches of the server, in the order in which they are installed."""

from mlflow_kubernetes.patches import (
    artifact_names,
    bad_input,
    bridge,
    downloads,
    egress,
    hosts,
    locations,
    login,
    memory,
    model_files,
    provider_keys,
    rights,
    traces,
    uploads,
    webhooks,
)
from mlflow_kubernetes.support import database_timeouts


def install() -> None:
    """Install what must be in place before MLflow makes its application."""
    for patch in (
        memory,
        artifact_names,
        downloads,
        uploads,
        bridge,
        database_timeouts,
        locations,
        bad_input,
        traces,
        egress,
        webhooks,
        provider_keys,
        hosts,
    ):
        patch.install()


def install_with_login() -> None:
    """Install what replaces parts of MLflow's basic-auth, which has to be imported before."""
    for patch in (login, rights, traces, model_files):
        patch.install_with_login()
