"""Print what a shell needs for an MLflow client to reach the server: `make client-env`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from commands.support import stack
from commands.support.console import CommandError, main
from commands.support.shell_exports import exports


def command() -> None:
    """Print the stack's output `client_env`, secrets included, and what to trust it by."""
    chosen = stack.chosen()
    if not (chosen.cluster.running() and chosen.exists()):
        raise CommandError(f"nothing is up on {chosen.cluster.describe()}: `make up` first")
    file = chosen.cluster.folder / f"{chosen.name}-ca.pem"
    outputs = chosen.outputs(secrets=True)
    print(exports(trusting(file, outputs["client_env"], outputs)), end="")


def trusting(
    file: Path, variables: Mapping[str, str], outputs: Mapping[str, Any]
) -> dict[str, str]:
    """Return the variables of a client, with a file that has the stack's own authority, if any.

    REQUESTS_CA_BUNDLE would do as well, but takes away every other server's certificate.
    """
    if "ca_certificate" not in outputs:
        return {**variables}
    file.write_text(outputs["ca_certificate"])
    found = {**variables, "MLFLOW_TRACKING_SERVER_CERT_PATH": str(file)}
    # A client that has the key of our own store talks to it by the same ingress.
    store = urlsplit(variables.get("MLFLOW_S3_ENDPOINT_URL", "")).hostname
    if store in outputs["hosts_line"].split():
        found["AWS_CA_BUNDLE"] = str(file)
    return found


if __name__ == "__main__":
    main(command)
