"""What a database of the stack publishes: one Secret with the address that MLflow reads."""

import pulumi
import pulumi_kubernetes as k8s

from components._labels import metadata
from components._pods import Credentials
from components._uris import database_uri, fingerprint


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
    database: str,
    opts: pulumi.ResourceOptions,
    **options: str,
) -> Credentials:
    """Make the Secret ``<name>-credentials``; ``options`` are the driver's own."""
    secret = k8s.core.v1.Secret(
        f"{name}-credentials",
        metadata=metadata(f"{name}-credentials", namespace, labels),
        string_data={
            "MLFLOW_BACKEND_STORE_URI": pulumi.Output.all(password, host).apply(
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
        },
        opts=opts,
    )
    return {"secret": secret.metadata.name, "fingerprint": fingerprint(password, host)}
