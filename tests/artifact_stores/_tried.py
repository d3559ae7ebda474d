"""What is tried with a choice of ``mlflow:artifactStore``, and what has to come of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis.strategies import SearchStrategy

from components import ArtifactStore

Settings = dict[str, Any]


@dataclass(frozen=True)
class Tried:
    """The constant ``TRIED`` of a module of this package."""

    variants: dict[str, Settings]
    """The store's variants for ``AXES`` of tests/variants.py, by their names."""
    paths: dict[str, str]
    """Who reaches whom in each variant, for ``DECLARED`` of tests/allowed_connections.py."""
    direct_paths: dict[str, str]
    """Who does so with ``artifactAccess direct`` as well, for ``WITH_DIRECT_ACCESS`` there."""
    made: Callable[[Any], ArtifactStore]
    """Makes the component, with the given inputs and those that it requires."""
    needed: Settings = field(default_factory=dict)
    """The settings, beside ``artifactStore``, that give the inputs that it requires."""
    right: dict[str, SearchStrategy[str]] = field(default_factory=dict)
    """Right values of the store's settings, for ``_RIGHT`` of tests/rendered/anything.py. A setting
    takes none whose name ends in Image, Secret or Account, or whose values are in ``variants``."""
    wrong: list[tuple[str, object, str]] = field(default_factory=list)
    """Settings, wrong values, and what the line must offer."""
    wrong_and_hidden: list[tuple[str, str, str]] = field(default_factory=list)
    """The same, where the line must not show the value."""
    contradictions: list[tuple[Settings, str]] = field(default_factory=list)
    """Settings that contradict each other, and a part of the line."""
    encrypted: tuple[str, ...] = ()
    """The settings that must be encrypted."""
    losses: list[tuple[Settings, Settings, str]] = field(default_factory=list)
    """What was there, what is changed so that data would be lost, and the beginning of the line."""
    kept: list[tuple[Settings, Settings]] = field(default_factory=list)
    """What was there, and what is changed without a loss."""
    with_all_inputs: Settings = field(default_factory=dict)
    """The settings, beside ``artifactStore``, with which the component gets each input that its
    ``holds`` names."""
