"""Which cluster a stack is put on: one the user names, a minikube that answers, or the lab."""

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
# `make env` puts the lab's programs on PATH from here.
_LAB_FILES = CLONE / ".lab"


@dataclass(frozen=True)
class Source:
    """What an image is built from."""

    folder: Path
    """Holds the Dockerfile."""
    context: Path
    """What the Dockerfile copies from: the folder itself, or a folder around it."""


@dataclass(frozen=True)
class Cluster(ABC):
    """A cluster, and the environment in which `pulumi` and `kubectl` reach it."""

    context: str
    """The context of the kubeconfig in `environment`, which knows no other."""
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
        """Put images into the cluster; return False where only a registry can bring them.

        Args:
            references: every image that the cluster must hold.
            builds: those of them that are built from a folder of this clone.
            registry: the registry whose name stands before each image, if any.
        """

    @abstractmethod
    def publish(self, hosts_line: str) -> None:
        """Make a stack's host names known on this machine, where that is not the user's to do."""

    @abstractmethod
    def unpublish(self) -> None:
        """Take back what `publish` did."""


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
        # Listed in full: docker.io/ or localhost/, as the container runtime has it.
        if any(f"/{line}".endswith(f"/{reference}") for line in listed.stdout.split()):
            return
        say(f"building {reference} in minikube, usually 3 min ...")
        # minikube looks for the Dockerfile from the context on.
        dockerfile = source.folder.relative_to(source.context) / "Dockerfile"
        build = ["build", "--tag", reference, "--file", str(dockerfile), str(source.context)]
        if stream([*minikube, *build], self.environment):
            raise CommandError(f"{reference} could not be built in minikube, for the reason above")


def find(context: str = "minikube") -> Cluster:
    """Return the cluster to use, without starting anything; a stack file may ask for a context."""
    environment = _users_own(os.environ)
    # A shell that evaluated `make env` knows the user's cluster by our copy alone.
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
    """Say why a context of the user's kubeconfig cannot be used; nothing if it can."""
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
    """Return a cluster of the user's, behind a copy of the kubeconfig that knows nothing else.

    In a shell that evaluated `make env` no other cluster can then be meant by mistake: Pulumi
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
    # Imported here alone: a user's cluster takes nothing of the lab.
    from commands.support.lab_cluster import LabCluster  # noqa: PLC0415

    return LabCluster.find(environment)


def _kubeconfig(context: str) -> Path:
    """Return where the copy for a context is, or will be."""
    return state_folder() / "contexts" / quote(context, safe="") / "kubeconfig"


def _context_of_copy(file: Path) -> str:
    """Return the context that one of our copies was made for; nothing for any other file."""
    context = unquote(file.parent.name)
    return context if file == _kubeconfig(context) else ""


def _users_own(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what `make env` adds.

    In a shell that evaluated it, the lab's programs would pass for the official ones, its cluster
    for the user's minikube, and one cluster's state for another's.
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
