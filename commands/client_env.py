"""Print the variables with which a shell's MLflow client reaches the server: `make client-env`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from commands.support import stack
from commands.support.console import main
from commands.support.shell_exports import exports


def command() -> None:
    """Print the stack output `client_env`, with its secrets, and the file of the stack's authority.

    Raises:
        CommandError: if there is no stack.
    """
    chosen = stack.running()
    file = chosen.cluster.folder / f"{chosen.name}-ca.pem"
    outputs = chosen.outputs(secrets=True)
    print(exports(trusting(file, outputs["client_env"], outputs)), end="")


def trusting(
    file: Path, variables: Mapping[str, str], outputs: Mapping[str, Any]
) -> dict[str, str]:
    """Return the variables of a client; with `tls: generated`, also the file of the authority.

    REQUESTS_CA_BUNDLE would replace the authorities of all other servers.
    """
    if "ca_certificate" not in outputs:
        return {**variables}
    file.write_text(outputs["ca_certificate"])
    found = {**variables, "MLFLOW_TRACKING_SERVER_CERT_PATH": str(file)}
    # With direct access, a client reaches the stack's own store by the same ingress.
    store = urlsplit(variables.get("MLFLOW_S3_ENDPOINT_URL", "")).hostname
    if store in outputs["hosts_line"].split():
        found["AWS_CA_BUNDLE"] = str(file)
    return found


if __name__ == "__main__":
    main(command)
