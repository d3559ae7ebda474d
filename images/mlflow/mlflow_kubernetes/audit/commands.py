"""Lines of the audit log for what a command in the server's pod does without the server."""

import os
import sys
from pathlib import Path
from typing import Any

from mlflow_kubernetes import contract
from mlflow_kubernetes.audit import lines

_SERVER = Path("/proc/1")
_METHOD = "EXEC"


def note(event: str, **named: Any) -> None:
    """Write that a command has done something, if there is an audit log.

    The output of a command goes to whoever runs it. The line goes to the output of the container's
    first process, which is the server; without a server, to the standard error.

    Args:
        event: What was done, as a request for it is called.
        named: Ids and names of the object.
    """
    if contract.AUDIT_LOG not in os.environ:
        return
    told = lines.line(
        event=event,
        # Kubernetes knows who may run commands in the pod, and its own audit log has who did.
        user=None,
        source=None,
        method=_METHOD,
        route=Path(sys.argv[0]).stem,
        named=named,
        status=0,
        milliseconds=None,
    )
    try:
        descriptor = _output_of_the_server()
        try:
            lines.write(told, descriptor)
        finally:
            if descriptor != sys.stderr.fileno():
                os.close(descriptor)
    except OSError as error:
        print(f"warning: this is not in the audit log: {error}", file=sys.stderr, flush=True)


def _output_of_the_server() -> int:
    if b"mlflow_kubernetes" not in (_SERVER / "cmdline").read_bytes():
        return sys.stderr.fileno()
    return os.open(_SERVER / "fd" / "1", os.O_WRONLY | os.O_APPEND)
