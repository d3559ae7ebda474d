"""What the program knows of an artifact store that ``mlflow:artifactStore`` can name."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pulumi

from components import ArtifactStore, IngressArgs, PodArgs, StackNamespace
from components._component import Component
from settings.declarations import Refuse, Setting
from settings.schema import SharedSettings


@dataclass(frozen=True)
class Surroundings:
    """What a store's component gets of the stack that it is made in."""

    place: StackNamespace
    """The namespace."""
    pods: PodArgs | None
    """The options of all pods of the stack."""
    published: IngressArgs
    """How host names are published."""
    opts: pulumi.ResourceOptions
    """The options of every component in the namespace."""


Make = Callable[[str, SharedSettings, Surroundings], ArtifactStore]
Rules = Callable[[SharedSettings, Refuse], Iterator[str]]


def _no_rules(_: SharedSettings, __: Refuse) -> Iterator[str]:
    yield from ()


def _no_hosts(_: SharedSettings) -> list[str]:
    return []


@dataclass(frozen=True)
class Choice:
    """A choice of ``mlflow:artifactStore``: the constant ``CHOICE`` of a module of this package."""

    settings: type[SharedSettings]
    """The class whose own fields are the settings of this store alone. A function of the store
    gets the settings as ``settings.of(...)``."""
    component: type[Component]
    """The class of the component."""
    make: Make
    """Makes the component. The first argument is the component's name, which is the choice's."""
    outside: str = ""
    """What the store is, such as ``a bucket``, if it is outside the stack. Empty means a server of
    the stack."""
    rules: Rules = _no_rules
    """Yields a line for each setting that is wrong with this store. A setting of the store that has
    no value by default is refused with any other store: that takes no rule."""
    rules_of_all: Rules = _no_rules
    """Yields such lines whichever store is chosen."""
    inputs_of_data: Mapping[str, str] = field(default_factory=dict[str, str])
    """The setting of each input that the component's ``holds`` names: data can be lost by it."""
    hosts: tuple[str, ...] = ()
    """The settings with the host names that the store publishes."""
    unproxied: Callable[[SharedSettings], list[str]] = _no_hosts
    """Returns the hosts, and the domains such as ``.example.com``, that the tracking server calls
    without a proxy."""
    has_service_account: bool = False
    """Whether the tracking server's pods run under a service account that the component makes."""
    secrets: tuple[str, ...] = ()
    """More first parts of the names of Secrets that the component writes, beside its own name."""
    rank: int = 100
    """Place among the choices in messages and tables. Equal ranks are sorted by name."""

    @property
    def own(self) -> list[Setting]:
        """The declarations of the settings of this store alone."""
        shared = SharedSettings.declared
        return [one for name, one in self.settings.declared.items() if name not in shared]

    @property
    def rotations(self) -> set[str]:
        """The passwords and keys of the store that can be rotated."""
        return {name for name, _ in self.component.rotates}
