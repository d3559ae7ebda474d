"""The cluster of a stack: one that the user names, a minikube that answers, or the lab."""

import json
import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from commands.support.console import (
    CLONE,
    CommandError,
    capture,
    last_line,
    say,
    state_folder,
    stream,
)

_GET_PULUMI = "the Pulumi CLI is not on PATH: see https://www.pulumi.com/docs/install"
# `make env` puts the lab's programs in this folder on PATH.
_LAB_FILES = CLONE / ".lab"


@dataclass(frozen=True)
class Source:
    """The sources of an image."""

    folder: Path
    """The folder with the Dockerfile."""
    context: Path
    """The folder that the Dockerfile copies from: ``folder`` itself, or a folder above it."""


@dataclass(frozen=True)
class Cluster(ABC):
    """A cluster, and the environment in which `pulumi` and `kubectl` reach it."""

    context: str
    """The only context of the kubeconfig in `environment`."""
    environment: dict[str, str]

    @property
    def folder(self) -> Path:
        """The folder of this cluster's state, which no other cluster shares."""
        folder = self._folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @abstractmethod
    def _folder(self) -> Path: ...

    @abstractmethod
    def describe(self) -> str:
        """Name the cluster in a sentence."""

    @abstractmethod
    def running(self) -> bool:
        """Say whether the cluster runs."""

    @abstractmethod
    def start(self) -> None:
        """Start the cluster, unless it runs or is the user's."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the cluster, unless it is the user's."""

    @abstractmethod
    def provide(
        self, references: Sequence[str], builds: Mapping[str, Source], registry: str = ""
    ) -> bool:
        """Put images into the cluster; return False if the cluster pulls them from a registry.

        Args:
            references: every image of the stack.
            builds: the sources of those that are built from this clone, by image.
            registry: the registry in front of each name, if any.
        """

    @abstractmethod
    def publish(self, hosts_line: str) -> None:
        """Add a stack's host names to this machine's hosts file, unless the user does that."""

    @abstractmethod
    def unpublish(self) -> None:
        """Remove the host names that `publish` added."""


class UsersCluster(Cluster):
    """A cluster of the user's: it is neither started nor stopped."""

    def _folder(self) -> Path:
        return _kubeconfig(self.context).parent

    def describe(self) -> str:
        """Name the cluster by its context."""
        return f"the cluster of context {self.context}"

    def running(self) -> bool:
        """Return True: the cluster answered when it was chosen."""
        return True

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""

    def provide(
        self,
        references: Sequence[str],  # noqa: ARG002 (minikube pulls what is not built)
        builds: Mapping[str, Source],
        registry: str = "",  # noqa: ARG002
    ) -> bool:
        """Build the images that minikube lacks; any other cluster pulls all of them."""
        if self.context not in self._minikube_profiles():
            return False
        for reference, source in builds.items():
            self._build(reference, source)
        return True

    def publish(self, hosts_line: str) -> None:
        """Do nothing: `make up` prints the line that the user adds."""

    def unpublish(self) -> None:
        """Do nothing."""

    def _minikube_profiles(self) -> list[str]:
        if not shutil.which("minikube", path=self.environment["PATH"]):
            return []
        answer = capture(["minikube", "profile", "list", "--output=json"], self.environment)
        try:
            return [profile["Name"] for profile in json.loads(answer.stdout)["valid"]]
        except (json.JSONDecodeError, KeyError):
            return []

    def _build(self, reference: str, source: Source) -> None:
        """Build an image in minikube, unless it is there."""
        minikube = ["minikube", "--profile", self.context, "image"]
        listed = capture([*minikube, "ls"], self.environment)
        if listed.returncode:
            raise CommandError(f"minikube's images cannot be listed: {last_line(listed)}")
        # minikube lists full names, with docker.io/ or localhost/ in front.
        if any(f"/{line}".endswith(f"/{reference}") for line in listed.stdout.split()):
            return
        say(f"building {reference} in minikube, usually 3 min ...")
        # minikube takes the path of the Dockerfile relative to the context.
        dockerfile = source.folder.relative_to(source.context) / "Dockerfile"
        build = ["build", "--tag", reference, "--file", str(dockerfile), str(source.context)]
        if stream([*minikube, *build], self.environment):
            raise CommandError(f"{reference} could not be built in minikube, for the reason above")


def find(context: str = "minikube") -> Cluster:
    """Return the cluster to use, without starting anything.

    Args:
        context: the context that the stack file names.

    Raises:
        CommandError: if there is no cluster to use.
    """
    environment = _users_own(os.environ)
    # A shell that evaluated `make env` has only our copy of the user's kubeconfig.
    copied = _context_of_copy(Path(environment.get("KUBECONFIG", "")))
    asked = "" if context == "minikube" else context
    named = os.environ.get("CONTEXT") or copied or asked
    if named:
        problem = _problem(named, environment)
        if problem:
            raise CommandError(problem)
        if named == copied:
            return UsersCluster(named, environment)
        return _users_cluster(named, environment)

    problem = _problem("minikube", environment)
    if not problem:
        return _users_cluster("minikube", environment)
    no_lab = _why_no_lab()
    if no_lab:
        raise CommandError(
            f"no cluster to use: {problem}; {no_lab}. Start one with `minikube start --addons "
            "ingress`, or name a context of your kubeconfig: CONTEXT=name"
        )
    if "no context" not in problem and shutil.which("kubectl", path=environment["PATH"]):
        say(f"minikube is passed over ({problem}); the lab is used instead")
    return _lab_cluster(environment)


def _problem(context: str, environment: Mapping[str, str]) -> str:
    """Return why a context of the user's kubeconfig cannot be used; empty if it can."""
    if not shutil.which("kubectl", path=environment["PATH"]):
        return "kubectl is not on PATH: see https://kubernetes.io/docs/tasks/tools"
    kubectl = ["kubectl", f"--context={context}", "--request-timeout=10s"]
    contexts = capture(["kubectl", "config", "get-contexts", "--output=name"], environment)
    if context not in contexts.stdout.split():
        return f"the kubeconfig has no context {context}"
    answer = capture([*kubectl, "get", "--raw=/version"], environment)
    if answer.returncode:
        return f"the cluster of context {context} does not answer: {last_line(answer)}"
    if not shutil.which("pulumi", path=environment["PATH"]):
        return _GET_PULUMI
    return ""


def _why_no_lab() -> str:
    if sys.platform != "linux":
        return "the lab, which would stand in for one, runs on Linux only"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "the lab, which would stand in for one, takes root on Debian"
    return ""


def _users_cluster(context: str, environment: dict[str, str]) -> Cluster:
    """Return a cluster of the user's, with a copy of the kubeconfig that has one context.

    In a shell that evaluated `make env`, no other cluster can then be used by mistake: Pulumi
    refuses a stack file that names a context which the copy lacks.
    """
    view = ["kubectl", "config", "view", "--minify", "--flatten", f"--context={context}"]
    answer = capture(view, environment)
    if answer.returncode:
        raise CommandError(f"the kubeconfig cannot be read: {last_line(answer)}")
    kubeconfig = _kubeconfig(context)
    kubeconfig.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = kubeconfig.with_suffix(f".{os.getpid()}")
    partial.touch(mode=0o600)  # it holds the user's keys
    partial.write_text(answer.stdout)
    partial.replace(kubeconfig)
    return UsersCluster(context, {**environment, "KUBECONFIG": str(kubeconfig)})


def _lab_cluster(environment: dict[str, str]) -> Cluster:
    # Imported here, because a user's cluster needs nothing of the lab.
    from commands.support.lab_cluster import LabCluster  # noqa: PLC0415

    return LabCluster.find(environment)


def _kubeconfig(context: str) -> Path:
    """Return the path of the copy of the kubeconfig for a context."""
    return state_folder() / "contexts" / quote(context, safe="") / "kubeconfig"


def _context_of_copy(file: Path) -> str:
    """Return the context of one of our copies; empty for any other file."""
    context = unquote(file.parent.name)
    return context if file == _kubeconfig(context) else ""


def _users_own(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the values that `make env` adds.

    In a shell that evaluated `make env`, this command would otherwise take the lab's programs for
    the official ones, the lab for the user's minikube, and one cluster's state for another's.
    """
    own = dict(environment)
    lab_home = own.get("MLFLOW_LAB_HOME")
    for name, ours in (
        ("PATH", _LAB_FILES),
        ("PULUMI_HOME", _LAB_FILES),
        ("KUBECONFIG", Path(lab_home) if lab_home else _LAB_FILES),
    ):
        parts = own.pop(name, "").split(os.pathsep)
        parts = [part for part in parts if part and not Path(part).is_relative_to(ours)]
        if parts:
            own[name] = os.pathsep.join(parts)
    own.setdefault("PATH", os.defpath)
    if own.get("PULUMI_BACKEND_URL", "").startswith(f"file://{state_folder()}/"):
        del own["PULUMI_BACKEND_URL"]
    return own
