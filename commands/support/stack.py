"""The stack: its settings, where Pulumi keeps its state, and the Pulumi commands on it."""

import json
import os
import secrets
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from commands.support.cluster import Cluster, find
from commands.support.console import (
    CLONE,
    CommandError,
    capture,
    last_line,
    say,
    state_folder,
    stream,
)
from commands.support.diagnose import Watch
from settings.assembled import SETTINGS, Settings
from settings.load import Given, SettingsError

# The keys of a stack file that Pulumi writes: how to decrypt the secrets in the file.
_ENCRYPTION = ("secretsprovider", "encryptionsalt", "encryptedkey")

_NAMESPACE = "kubernetes:core/v1:Namespace"
_PROVIDER = "pulumi:providers:kubernetes"
_OURS = "app.kubernetes.io/part-of=mlflow"

WHAT_RUNS = ("namespace", "imageRegistry", *(key for key in SETTINGS if key.endswith("Image")))
"""Settings with the namespace and the images of the pods."""
READ_BY_COMMANDS = (
    *WHAT_RUNS,
    *("backendStore", "artifactStore", "clientWorkspace", "protectData", "rotation", "auth"),
    "databaseReplicas",
)
"""Settings that commands need, and that therefore must not be encrypted."""

_State = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Stack:
    """A stack of this project on a cluster."""

    name: str
    cluster: Cluster

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which `pulumi` finds the state, the passphrase and the cluster."""
        environment = {**self.cluster.environment, "PULUMI_SKIP_UPDATE_CHECK": "true"}
        if "PULUMI_BACKEND_URL" not in environment:
            environment["PULUMI_BACKEND_URL"] = self._own_backend()
        if not environment.keys() & {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"}:
            environment["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(passphrase_file())
        return environment

    def up(self) -> None:
        """Run `pulumi up`, after the repairs that the state needs.

        Raises:
            CommandError: if Pulumi fails, or another Pulumi works on the stack.
        """
        self._unlock()
        self._create()
        state = self._state()
        self._know_former_context(state)
        self._take_up_namespace(state)
        known = settings(self.name)
        watch = Watch(self.environment, known.namespace, known.images)
        # The refresh notices objects that vanished without Pulumi, such as those of a new cluster.
        self._change("up", "--refresh", watch=watch)

    def destroy(self) -> None:
        """Run `pulumi destroy`.

        Raises:
            CommandError: if the data is protected, or Pulumi fails.
        """
        # Pulumi would keep the protected data, and remove everything else.
        if some_settings(self.name, "protectData").protect_data:
            raise CommandError(
                f"{project()}:protectData: 'true'; accepted: false, and `make up`, before a stack "
                "is removed with its data"
            )
        self._unlock()
        self._know_former_context(self._state())
        self._change("destroy")

    def _own_backend(self) -> str:
        """Return the address of the state that is kept for this cluster alone.

        Pulumi replaces the state file at once, but writes a file of attributes beside it in two
        steps. A Pulumi that is killed in between leaves that file empty, and then no Pulumi reads
        the state ("failed to load checkpoint: EOF"). Nothing reads the attributes: `metadata=skip`
        leaves them out (gocloud.dev/blob/fileblob), and those of earlier releases are removed.
        """
        folder = self.cluster.folder / "pulumi"
        folder.mkdir(mode=0o700, exist_ok=True)
        for attributes in folder.rglob("*.attrs"):
            attributes.unlink(missing_ok=True)
        return f"file://{folder}?metadata=skip"

    def exists(self) -> bool:
        """Return whether the stack has any resource."""
        if not shutil.which("pulumi", path=self.environment["PATH"]):
            return False
        return bool(self._state().get("resources"))

    def outputs(self, *, secrets: bool = False) -> dict[str, Any]:
        """Return the stack's outputs; without ``secrets``, the secret ones are masked."""
        shown = ["--show-secrets"] if secrets else []
        answer = self._capture("stack", "output", "--stack", self.name, "--json", *shown)
        if answer.returncode:
            raise CommandError(f"the stack's outputs cannot be read: {last_line(answer)}")
        return cast(dict[str, Any], json.loads(answer.stdout))

    def _state(self) -> _State:
        """Return the state of the stack; empty if there is no stack."""
        answer = self._capture("stack", "export", "--stack", self.name)
        return json.loads(answer.stdout)["deployment"] if answer.returncode == 0 else {}

    def _know_former_context(self, state: _State) -> None:
        """Add to our copy of the kubeconfig a context with the name in the state.

        A refresh and a destroy use the context in the state. Up to November 2026, this program
        recorded every cluster as `minikube`.
        """
        if self.environment["PULUMI_BACKEND_URL"] != self._own_backend():
            return  # the state may be of another cluster
        noted = {
            resource.get("inputs", {}).get("context")
            for resource in state.get("resources") or []
            if resource["type"] == _PROVIDER
        }
        if former := noted - {None, self.cluster.context}:
            kubeconfig = Path(self.environment["KUBECONFIG"])
            content = _load(kubeconfig)
            contexts: list[dict[str, Any]] = content["contexts"]
            former -= {context["name"] for context in contexts}
            contexts += [{**contexts[0], "name": name} for name in former]
            kubeconfig.write_text(yaml.safe_dump(content))

    def _take_up_namespace(self, state: _State) -> None:
        """Import the namespace, if a Pulumi was killed after it made the namespace.

        The program's provider takes over the objects in the namespace. It never takes over a
        namespace, which may belong to others. This namespace is the stack's, because the state has
        its creation as pending, and because it has the stack's label.
        """
        noted = {resource["urn"] for resource in state.get("resources") or []}
        for operation in state.get("pending_operations") or []:
            resource = operation["resource"]
            if resource["type"] != _NAMESPACE or resource["urn"] in noted:
                continue
            name = resource["inputs"]["metadata"]["name"]
            picked = [f"--field-selector=metadata.name={name}", f"--selector={_OURS}"]
            kubectl = ["kubectl", "get", "namespaces", "--output=name"]
            if capture([*kubectl, *picked], self.environment).stdout.strip():
                say(f"a Pulumi that was killed had just made namespace {name}: taking it up")
                what = [_NAMESPACE, resource["urn"].rpartition("::")[2], name]
                self._change("import", *what, "--protect=false", "--generate-code=false")

    def _create(self) -> None:
        listed = self._capture("stack", "ls", "--json")
        if listed.returncode:
            raise CommandError(f"Pulumi's state cannot be read: {last_line(listed)}")
        names = [stack["name"].rpartition("/")[2] for stack in json.loads(listed.stdout)]
        if self.name in names:
            return
        # Pulumi writes the salt of the passphrase into the stack file of the project in the current
        # folder. That is a copy, so that the clone does not change.
        answer = self._capture(
            "stack", "init", self.name, "--no-select", "--cwd", str(self._config_file().parent)
        )
        if answer.returncode:
            raise CommandError(f"the stack cannot be made: {last_line(answer)}")

    def _config_file(self) -> Path:
        """Return a copy of the stack file, with the context of the cluster.

        The copy may get Pulumi's salt. The clone's file does not change.
        """
        folder = self.cluster.folder / "project"
        folder.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(CLONE / "Pulumi.yaml", folder / "Pulumi.yaml")
        copy = folder / f"Pulumi.{self.name}.yaml"
        content = _load(CLONE / copy.name)
        if copy.exists():
            before = _load(copy)
            content = {key: before[key] for key in _ENCRYPTION if key in before} | content
        config: dict[str, Any] = content.get("config") or {}
        content["config"] = config
        if "kubernetes:kubeconfig" not in config:  # that kubeconfig has contexts of its own
            config["kubernetes:context"] = self.cluster.context
        copy.write_text(yaml.safe_dump(content))
        return copy

    def _unlock(self) -> None:
        """Remove the lock of a Pulumi that was killed.

        Raises:
            CommandError: if a Pulumi that runs, or one of another machine, has the lock.
        """
        for lock in self._locks():
            content = json.loads(lock.read_text())
            holder = f"pid {content['pid']} on {content['hostname']}, since {content['timestamp']}"
            if content["hostname"] != socket.gethostname() or _runs_pulumi(content["pid"]):
                raise CommandError(
                    f"another Pulumi works on this stack ({holder}): wait for it; if it is gone, "
                    f'`eval "$(make -s env)"` and `pulumi cancel --stack {self.name}` end its lock'
                )
        if any(self._locks()):
            say("a Pulumi that was killed left its lock behind: cancelling its update")
            answer = self._capture("cancel", "--yes", "--stack", self.name)
            if answer.returncode:
                raise CommandError(f"the lock cannot be taken away: {last_line(answer)}")

    def _locks(self) -> list[Path]:
        backend = self.environment["PULUMI_BACKEND_URL"]
        if not backend.startswith("file://"):
            return []
        state = Path(backend.removeprefix("file://").partition("?")[0]).expanduser()
        locks = state / ".pulumi" / "locks" / "organization" / project() / self.name
        return sorted(locks.glob("*.json"))

    def _change(self, command: str, *arguments: str, watch: Watch | None = None) -> None:
        """Run a Pulumi command that changes the stack, and show its output.

        Raises:
            CommandError: if the command fails.
        """
        where = ["--stack", self.name, "--config-file", str(self._config_file())]
        quietly = ["--yes", "--skip-preview", "--suppress-permalink=true"]
        whole = ["pulumi", command, *where, *quietly, *arguments]
        status = stream(whole, self.environment, watch or (lambda: False))
        if status:
            if watch and (explanation := watch.explanation()):
                say(f"\nwhat stands in the way:\n\n{explanation}\n")
            why = f"was killed by signal {-status}" if status < 0 else "failed, as told above"
            if watch and watch.hopeless:
                why = "was stopped, for it would have waited in vain"
            raise CommandError(f"`pulumi {command}` {why}; the same command goes on from here")

    def _capture(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return capture(["pulumi", *arguments, "--non-interactive"], self.environment)


def chosen() -> Stack:
    """Return the stack that the user names, `minikube` by default, on the cluster to use."""
    name = os.environ.get("STACK") or "minikube"
    if not (CLONE / f"Pulumi.{name}.yaml").is_file():
        raise CommandError(f"STACK={name}: there is no file Pulumi.{name}.yaml")
    return Stack(name, find(context(name)))


def running() -> Stack:
    """Return the stack that the user names, which is up on a cluster that runs.

    Raises:
        CommandError: if the stack is not up, or its cluster does not run.
    """
    found = chosen()
    if not (found.cluster.running() and found.exists()):
        raise CommandError(f"nothing is up on {found.cluster.describe()}: `make up` first")
    return found


def context(name: str) -> str:
    """Return the context in the file of a stack, which `pulumi` by hand uses."""
    return _given(name).texts.get("kubernetes:context", "minikube")


def project() -> str:
    """Return the project's name, which comes before the name of each of its settings."""
    return str(_load(CLONE / "Pulumi.yaml")["name"])


def settings(name: str, **changed: object) -> Settings:
    """Return the settings of a stack as the program will read them.

    Encrypted values have their defaults, because only the engine can decrypt them.

    Args:
        name: name of the stack.
        changed: values that replace those of the stack, by the settings' names.

    Raises:
        CommandError: with one line for each mistake.
    """
    return _read(_given(name).changed(**changed))


def some_settings(name: str, *keys: str) -> Settings:
    """Return some settings of a stack, also if other settings have mistakes.

    Every other setting has its default.

    Raises:
        CommandError: with one line for each mistake.
    """
    return _read(_given(name).only(*keys))


def _given(name: str) -> Given:
    return Given.from_files(_load(CLONE / "Pulumi.yaml"), _load(CLONE / f"Pulumi.{name}.yaml"))


def _read(given: Given) -> Settings:
    hidden = sorted(given.unreadable & {f"{given.project}:{key}" for key in READ_BY_COMMANDS})
    if hidden:
        accepted = "a value in clear, because `make` cannot decrypt it"
        raise CommandError("\n".join(f"{key}: [secret]; accepted: {accepted}" for key in hidden))
    try:
        return given.read()
    except SettingsError as mistakes:
        raise CommandError(str(mistakes)) from None


def passphrase_file() -> Path:
    """Return the file with the passphrase of the state's secrets, generated once."""
    file = state_folder() / "passphrase"
    if file.exists():
        return file
    # The file is linked when it is complete. So a second command at the same moment reads the same
    # passphrase, and a killed command leaves no half of one.
    partial = file.with_name(f"passphrase.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream_:
        stream_.write(secrets.token_urlsafe(32) + "\n")
    try:
        os.link(partial, file)
    except FileExistsError:
        pass
    finally:
        partial.unlink()
    return file


def _load(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise CommandError(f"{file.name} is not YAML: {problem}") from None
    return cast(dict[str, Any], content or {})


def _runs_pulumi(pid: int) -> bool:
    """Return whether a process is a Pulumi. The kernel may have given its number to another one."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    program = Path(f"/proc/{pid}/comm")
    return not program.exists() or program.read_text().strip() == "pulumi"
