"""This machine as a client of a stack, which reaches the stack through the ingress."""

from pathlib import Path

from commands import up
from harness import clients
from harness.stack import Outputs, Stack


def machine_of(stack: Stack, home: Path) -> clients.Machine:
    """Return this machine as a client of a stack that is up."""
    clients.make_virtual_environment()
    return clients.Machine(home, published(stack)["hosts_line"])


def published(stack: Stack) -> Outputs:
    """Return the outputs of a stack once its tracking server answers through the ingress.

    Because Traefik publishes the address of an Ingress before it has the routes, the ingress
    answers 404 for a moment after `pulumi up`. `make up` waits in the same way.
    """
    outputs = stack.outputs()
    up.wait(
        outputs["tracking_uri"],
        up.address_in(outputs["hosts_line"]),
        outputs.get("ca_certificate"),
        outputs["client_env"],
    )
    return outputs
