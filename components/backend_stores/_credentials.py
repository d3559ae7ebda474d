"""What a database server of the stack publishes: a Secret with the addresses that MLflow reads."""

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.labels import metadata
from .._kubernetes.network_policies import client_labels
from .._kubernetes.pods import Credentials
from .._kubernetes.uris import database_uri, fingerprint

DATABASE = "mlflow"
AUTH_DATABASE = "mlflow_auth"
"""Users and what each may do; made in any case, so that a login can be switched on later."""


def database_credentials(
    name: str,
    *,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
    driver: str,
    user: str,
    password: pulumi.Input[str],
    host: pulumi.Input[str],
    port: int,
    opts: pulumi.ResourceOptions,
    **options: str,
) -> Credentials:
    """Make the Secret ``<name>-credentials``; ``options`` are the driver's own."""

    def uri(database: str) -> pulumi.Output[str]:
        return pulumi.Output.all(password, host).apply(
            lambda known: database_uri(
                driver,
                user=user,
                password=known[0],
                host=known[1],
                port=port,
                database=database,
                **options,
            )
        )

    secret = k8s.core.v1.Secret(
        f"{name}-credentials",
        metadata=metadata(f"{name}-credentials", namespace, labels),
        string_data={
            "MLFLOW_BACKEND_STORE_URI": uri(DATABASE),
            "MLFLOW_AUTH_DATABASE_URI": uri(AUTH_DATABASE),
        },
        opts=opts,
    )
    return {
        "secret": secret.metadata.name,
        "fingerprint": fingerprint(password, host),
        "client_labels": client_labels(name),
    }
