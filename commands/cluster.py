"""Which cluster to use: one the user names, a minikube that answers, or else the lab."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

import yaml

import lab
from commands._main import CommandError, capture, last_line, say, state_folder
from lab import node, paths, tools

_GET_PULUMI = "the Pulumi CLI is not on PATH: see https://www.pulumi.com/docs/install"


@dataclass(frozen=True)
class Cluster:
    """A cluster, and the environment in which `pulumi` and `kubectl` reach it."""

    kind: Literal["lab", "user"]
    context: str
    """What its user calls it: a context of the user's kubeconfig, or `lab`."""
    environment: dict[str, str]

    @property
    def folder(self) -> Path:
        """The folder of this cluster's state, which no other cluster shares."""
        lab_folder = state_folder() / "lab"
        folder = lab_folder if self.kind == "lab" else _kubeconfig(self.context).parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def running(self) -> bool:
        """Say whether the cluster runs; one of the user's has just answered."""
        return self.kind == "user" or node.running()

    def start(self) -> None:
        """Start the lab, unless it runs."""
        if self.kind == "lab":
            lab.prepare()
            node.start()

    def stop(self) -> None:
        """Stop the lab; a cluster of the user's is left alone."""
        if self.kind == "lab":
            node.stop()

    def describe(self) -> str:
        """Name the cluster in a sentence."""
        return "the lab" if self.kind == "lab" else f"the cluster of context {self.context}"


def find(context: str = "minikube") -> Cluster:
    """Return the cluster to use, without starting anything; a stack file may ask for a context."""
    environment = _users_own(os.environ)
    # A shell that evaluated `make env` knows the user's cluster by our copy alone.
    copied = _context_of_copy(Path(environment.get("KUBECONFIG", "")))
    asked = "" if context == "minikube" else context
    named = os.environ.get("CONTEXT") or copied or asked
    if named:
        problem = _problem("minikube" if named == copied else named, environment)
        if problem:
            raise CommandError(problem)
        if named == copied:
            return Cluster("user", named, environment)
        return _user_cluster(named, environment)

    problem = _problem("minikube", environment)
    if not problem:
        return _user_cluster("minikube", environment)
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


def _user_cluster(context: str, environment: dict[str, str]) -> Cluster:
    """Return a cluster of the user's, behind a kubeconfig that knows nothing else.

    The stack file names the context `minikube`, so that a kubeconfig that points elsewhere is
    never deployed to. A copy in which the chosen cluster has that name too keeps this guard and
    lets the same stack file serve any cluster; `pulumi --config kubernetes:context=...` would
    write the choice into the clone.
    """
    view = ["kubectl", "config", "view", "--minify", "--flatten", f"--context={context}"]
    answer = capture(view, environment)
    if answer.returncode:
        raise CommandError(f"the kubeconfig cannot be read: {last_line(answer)}")
    content = yaml.safe_load(answer.stdout)
    if context != "minikube":
        content["contexts"].append({**content["contexts"][0], "name": "minikube"})
    content["current-context"] = "minikube"
    kubeconfig = _kubeconfig(context)
    kubeconfig.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = kubeconfig.with_suffix(f".{os.getpid()}")
    partial.touch(mode=0o600)  # it holds the user's keys
    partial.write_text(yaml.safe_dump(content))
    partial.replace(kubeconfig)
    return Cluster("user", context, {**environment, "KUBECONFIG": str(kubeconfig)})


def _lab_cluster(environment: dict[str, str]) -> Cluster:
    # Before the first start there are no programs, and to prepare is to build them: minutes that
    # `make status` should not take.
    if all(tools.program(name).exists() for name in ("pulumi", "kubectl")):
        lab.prepare()
    of_the_lab = lab.environment()
    path = os.pathsep.join([str(paths.BIN), environment["PATH"]])
    return Cluster("lab", "lab", {**environment, **of_the_lab, "PATH": path})


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
    path = own.get("PATH", os.defpath).split(os.pathsep)
    own["PATH"] = os.pathsep.join(part for part in path if part != str(paths.BIN))
    kubeconfigs = own.pop("KUBECONFIG", "").split(os.pathsep)
    kubeconfigs = [part for part in kubeconfigs if part and part != str(paths.KUBECONFIG)]
    if kubeconfigs:
        own["KUBECONFIG"] = os.pathsep.join(kubeconfigs)
    if own.get("PULUMI_BACKEND_URL", "").startswith(f"file://{state_folder()}/"):
        del own["PULUMI_BACKEND_URL"]
    return own
