"""The base class of all components: their type in Pulumi's state, and the former type."""

from collections.abc import Mapping

import pulumi

from .held_data import HeldData

PACKAGE = "mlflow-kubernetes"
"""First part of each component's type, and name of the package in other languages."""
_FORMER_PACKAGE = "mlflow-k8s"
"""First part of the types in stacks that were brought up before 27 November 2026."""


class Component(pulumi.ComponentResource):
    """Base of every component.

    Pulumi knows a resource by its type, the types of its parents and its name. The alias lets the
    engine find a component under its former type. The children need no alias of their own, because
    the engine derives their former names from the alias of their parent.
    """

    # Pulumi takes a class attribute with an annotation for an output.
    holds = tuple[HeldData, ...]()
    """What the component keeps on volumes."""
    rotates = tuple[tuple[str, str], ...]()
    """What can be rotated: its name, and the last part of the name of the RandomPassword."""

    def __init__(
        self,
        kind: str,
        name: str,
        inputs: Mapping[str, object],
        opts: pulumi.ResourceOptions | None,
    ) -> None:
        """Register the component.

        Args:
            kind: name of the class. A subclass in another program keeps the type of this class.
            name: logical name.
            inputs: the inputs as Pulumi keeps them in its state.
            opts: options of the program that uses the component.
        """
        former = pulumi.Alias(type_=f"{_FORMER_PACKAGE}:index:{kind}")
        super().__init__(
            f"{PACKAGE}:index:{kind}",
            name,
            {**inputs},
            pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(aliases=[former])),
        )
