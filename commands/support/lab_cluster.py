"""The lab as the cluster of a stack: of commands/, this module alone imports lab/."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import lab
from commands.support import hosts_file
from commands.support.cluster import Cluster, Source
from commands.support.console import CommandError, state_folder
from lab import images, node
from lab.progress import LabError


class LabCluster(Cluster):
    """The lab: minikube's stand-in, which is started and stopped with the stack."""

    @classmethod
    def find(cls, environment: Mapping[str, str]) -> Self:
        """Return the lab, without starting it.

        Args:
            environment: the user's own variables.

        Raises:
            CommandError: if the lab's programs cannot be put on the PATH.
        """
        # Before the first start the programs are not built yet. `lab.prepare` would build them,
        # which takes minutes that `make status` must not take.
        with _failures():
            if lab.prepared():
                lab.prepare()
        return cls("minikube", {**environment, **lab.environment(environment)})

    def _folder(self) -> Path:
        return state_folder() / "lab"

    def describe(self) -> str:
        """Name the lab."""
        return "the lab"

    def running(self) -> bool:
        """Say whether every process of the node runs."""
        return node.running()

    def start(self) -> None:
        """Build what is missing, and start the node or what part of it does not run."""
        with _failures():
            lab.prepare()
            node.start()

    def stop(self) -> None:
        """End the node; its data, images and volumes stay."""
        with _failures():
            node.stop()

    def provide(
        self, references: Sequence[str], builds: Mapping[str, Source], registry: str = ""
    ) -> bool:
        """Build each image, or make a stand-in for an image that only a registry has."""
        sources = {
            reference: images.Source(source.folder, source.context)
            for reference, source in builds.items()
        }
        with _failures():
            images.provide(references, sources, mirror=registry)
        return True

    def publish(self, hosts_line: str) -> None:
        """Put the line of the stack's host names into /etc/hosts."""
        hosts_file.put(hosts_line)

    def unpublish(self) -> None:
        """Take the line of the stack's host names out of /etc/hosts."""
        hosts_file.remove()


@contextmanager
def _failures() -> Generator[None]:
    """Turn a failure of the lab into a failure of the command."""
    try:
        yield
    except LabError as error:
        raise CommandError(str(error)) from None
