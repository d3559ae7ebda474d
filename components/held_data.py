"""The data that a component keeps on volumes, and the inputs by which the data would be lost.

A component that makes volumes declares them in its class attribute ``holds``: a tuple of
:class:`HeldData`. The attribute has no annotation, because Pulumi takes every annotated attribute
of a component for an output. A program that compares its inputs with the state of its stack calls
:meth:`HeldData.losses` before it makes the component.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ._kubernetes.quantities import amount

Version = tuple[int, ...]


class Loss(NamedTuple):
    """An input with which data would be lost."""

    input: str
    """Name of the input."""
    value: object
    """Its value."""
    accepted: str
    """The values with which no data is lost, in words."""


@dataclass(frozen=True)
class VersionRule:
    """The rule for the versions of a server that can read a volume's data."""

    pattern: re.Pattern[str]
    """Matches the version in a tag, with one group for each number."""
    reads: Callable[[Version, Version], bool]
    """Returns whether the second version can read the volume of the first version."""
    accepted: str
    """Which versions can, with the first version's numbers for ``{0}``, ``{1}`` and ``{all}``, and
    the name of the input ``former_image`` for ``{former_image}``."""
    makes: tuple[str, ...] = ()
    """Last parts of the names of images whose servers read each other's volumes. A name may change
    among these alone. Empty: any name may change."""

    def version(self, image: str) -> Version | None:
        """Return the version that the tag of an image names; None if it names no version."""
        match = self.pattern.match(_parts(image)[1])
        return tuple(int(part) for part in match.groups() if part) if match else None

    def refusal(self, held: str, image: str, former_image: str = "former_image") -> str | None:
        """Return which images are accepted, if an image may not read the volume; None if it may.

        Args:
            held: image that wrote the volume.
            image: image that is to read it.
            former_image: how the caller spells the input ``former_image``.
        """
        (name, _, digest), (new_name, _, new_digest) = _parts(held), _parts(image)
        if (digest or held) == (new_digest or image):
            return None
        before, after = self.version(held), self.version(image)
        if not after:
            return (
                "a tag that begins with the version, also in front of a digest, because not every "
                "version reads the volume"
            )
        if self.makes and new_name != name and not {name, new_name} <= {*self.makes}:
            known = self.makes if name in self.makes else (name,)
            return f"an image called {' or '.join(known)}, whose data is on the volume"
        if before and not self.reads(before, after):
            every = ".".join(map(str, before))
            return self.accepted.format(*before, all=every, former_image=former_image)
        return None

    def newer(self, held: str, image: str) -> bool:
        """Return whether both images have a version, and the second version is the newer one."""
        before, after = self.version(held), self.version(image)
        return bool(before and after and after > before)


@dataclass(frozen=True, kw_only=True)
class HeldData:
    """A resource of a component whose volumes hold data, and the inputs by which data can be lost.

    Every field from ``storage`` to ``former_image`` is the name of an input, but for ``fewer``,
    ``fixed`` and ``versions``.
    """

    kind: Literal["StatefulSet", "PersistentVolumeClaim"] = "StatefulSet"
    """Kind of the resource."""
    suffix: str = "-server"
    """What follows the component's name in the resource's logical name."""
    storage: str | None = None
    """Input with the size of each volume; None: the size is fixed."""
    count: str | None = None
    """Input with the number of pods; None: there is one pod."""
    fewer: str = "each may hold the only copy of something"
    """What speaks against fewer pods."""
    fixed: str | None = None
    """What speaks against any other number of pods; None: there may be more."""
    image: str | None = None
    """Input with the image; None: every image leaves the data as it is."""
    image_of_several: str | None = None
    """Input with the image of several pods; None: ``image`` is the image of any number."""
    versions: VersionRule | None = None
    """Which images can read the volume, if there is an input with the image."""
    former_image: str | None = None
    """Input with the former image, by which a pod moves the data to a newer version; None: no pod
    moves data."""
    only_with: tuple[str, str] | None = None
    """An input and the value with which the component makes the resource. With another value the
    resource stays as it is. None: the component makes the resource in any case."""

    def resource(self, component: str) -> str:
        """Return kind and logical name of the resource, as ``"<kind> <name>"``.

        Args:
            component: logical name of the component.
        """
        return f"{self.kind} {component}{self.suffix}"

    def losses(
        self,
        outputs: Mapping[str, Any],
        inputs: Mapping[str, object],
        spelled: Callable[[str], str] = str,
    ) -> Iterator[Loss]:
        """Yield each input with which the resource would lose data.

        Args:
            outputs: outputs of the resource in the state of the stack.
            inputs: the component's inputs that this declaration names, with their defaults.
            spelled: how the caller spells the name of an input, for the text of a loss.
        """
        if self.only_with and inputs[self.only_with[0]] != self.only_with[1]:
            return
        spec: Mapping[str, Any] = outputs["spec"]
        if self.storage:
            claim = spec if self.kind == "PersistentVolumeClaim" else _template_of_claims(spec)
            yield from self._shrunk(self.storage, inputs[self.storage], claim)
        if self.count:
            count, held = inputs[self.count], int(spec["replicas"])
            if self.fixed and count != held:
                yield Loss(self.count, count, f"{held}: {self.fixed}")
            elif isinstance(count, int) and count < held:
                yield Loss(self.count, count, f"{held} or more: {self.fewer}")
        # An image that never ran has written nothing, so a mistaken name can be corrected.
        if self.image and self.versions and _ready(outputs):
            (container,) = spec["template"]["spec"]["containers"]
            several = self.count is not None and inputs[self.count] != 1
            name = (several and self.image_of_several) or self.image
            yield from self._unread(name, self.versions, container["image"], inputs, spelled)

    @staticmethod
    def _shrunk(name: str, size: object, claim: Mapping[str, Any]) -> Iterator[Loss]:
        """Yield a loss where a size is less than that of the volume that there is."""
        before = claim["resources"]["requests"]["storage"]
        wanted, held = amount(size), amount(before)
        if wanted is not None and held is not None and wanted < held:
            yield Loss(name, size, f"{before} or more: a volume does not shrink")

    def _unread(
        self,
        name: str,
        versions: VersionRule,
        held: str,
        inputs: Mapping[str, object],
        spelled: Callable[[str], str],
    ) -> Iterator[Loss]:
        """Yield a loss where the image, or the former one, does not fit the image that ran last."""
        image = str(inputs[name])
        former_name = self.former_image or ""
        former = inputs.get(former_name)
        spelled_name = spelled(former_name) if former_name else ""
        accepted = versions.refusal(held, image, spelled_name)
        if accepted and former and versions.newer(held, image):
            if versions.version(str(former)) != versions.version(held):
                yield Loss(former_name, former, f"{held!r}, which wrote the volume")
        elif accepted:
            yield Loss(name, image, accepted)


def _template_of_claims(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the spec of the claims that a StatefulSet makes."""
    (template,) = spec["volumeClaimTemplates"]
    claim: Mapping[str, Any] = template["spec"]
    return claim


def _ready(stateful_set: Mapping[str, Any]) -> bool:
    """Return whether a pod was ready when the engine last read the StatefulSet."""
    status: Mapping[str, Any] = stateful_set.get("status") or {"readyReplicas": 1}
    return bool(status.get("readyReplicas"))


def _parts(image: str) -> tuple[str, str, str]:
    """Return the last part of an image's name, its tag, and its digest."""
    named, _, digest = image.partition("@")
    name, _, tag = named.rpartition("/")[2].partition(":")
    return name, tag, digest
