"""A stack of the tests' own, made with the real CLI, which shares nothing with a user's stack.

It is a copy of the program with a state file, a passphrase, a namespace and host names of its own.
"""

import base64
import copy
import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from commands.support.diagnose import Watch
from harness import pod_processes
from harness.backend_stores import POSTGRES, Database
from harness.kubectl import Kubectl
from harness.programs import CLONE, ProgramError, run

PROGRAM = (
    *("Pulumi.yaml", "Pulumi.minikube.yaml", ":(glob)*.py"),
    *("artifact_stores", "components", "settings"),
)
"""The files of the program, as arguments of `git ls-files`."""
# For the reason, see commands/support/stack.py.
_WITHOUT_ATTRIBUTES = "?metadata=skip"
# With the usual request of 250m, a node of two processors has room for the stacks of two tests.
_SMALL_SERVER = '{"resources": {"requests": {"cpu": "100m"}}}'
# An `up` that takes longer hangs, because its waits end after 5 minutes.
UP_SECONDS = 420


class Outputs(TypedDict):
    """The stack outputs, as outputs.py exports them."""

    tracking_uri: str
    tracking_uri_in_cluster: str
    artifact_root: str
    s3_endpoint_url: str
    hosts_line: str
    client_env: dict[str, str]
    last_upgrade: dict[str, str]
    backup_passphrase: str
    add_user: NotRequired[str]
    ca_certificate: NotRequired[str]
    workspace_url: NotRequired[str]
    workspace_token: NotRequired[str]


class Resource(TypedDict):
    """A resource in the state of a stack, with the fields that are read here."""

    urn: str
    type: str
    inputs: dict[str, Any]
    outputs: NotRequired[dict[str, Any]]


@dataclass
class Stack:
    """One stack, called `minikube` like a user's."""

    folder: Path
    namespace: str
    kubectl: Kubectl
    environment: dict[str, str]
    database: Database
    said: list[str] = field(default_factory=list[str])
    """All output of Pulumi for users."""
    secrets: dict[str, str] = field(default_factory=dict[str, str])
    """The secrets that no output may have, by name. They are kept after the stack is removed."""
    _outputs: tuple[int, Any] | None = field(default=None, repr=False)
    """The outputs, with the time at which the state file had changed."""

    @classmethod
    def create(
        cls,
        folder: Path,
        environment: Mapping[str, str],
        namespace: str,
        database: Database = POSTGRES,
        clone: Path = CLONE,
    ) -> "Stack":
        """Make a copy of the program and an empty stack, as a user's first steps would.

        Args:
            folder: where the copy and the state file are put.
            environment: the variables with which `pulumi` and `kubectl` reach the cluster.
            namespace: of the stack; host names begin with the same name.
            database: the backend store.
            clone: the clone of this project whose program is copied.
        """
        program = folder / "program"
        program.mkdir()
        _copy_program(clone, program)
        # The cluster of the tests may have a context of another name.
        current = ["kubectl", "config", "current-context"]
        context = run(current, environment, seconds=30).stdout.strip()
        stack_file = program / "Pulumi.minikube.yaml"
        named = "kubernetes:context: {}".format
        stack_file.write_text(stack_file.read_text().replace(named("minikube"), named(context)))
        (program / ".venv").symlink_to(CLONE / ".venv")
        state = folder / "state"
        state.mkdir()
        own = {
            "PULUMI_BACKEND_URL": f"file://{state}{_WITHOUT_ATTRIBUTES}",
            "PULUMI_CONFIG_PASSPHRASE": secrets.token_urlsafe(24),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        kubectl = Kubectl(environment, namespace)
        stack = cls(program, namespace, kubectl, {**environment, **own}, database)
        stack.pulumi("stack", "init", "minikube")
        # An earlier version of the program may not know the setting.
        small = {"serverPods": _SMALL_SERVER} if clone == CLONE else {}
        stack.set(
            namespace=namespace,
            backendStore=database.name,
            trackingHost=f"{namespace}-server.local",
            artifactHost=f"{namespace}-minio.local",
            artifactConsoleHost=f"{namespace}-console.local",
            **small,
        )
        return stack

    def upgrade(self) -> None:
        """Put today's program into the place of an earlier one; the stack file stays as it is."""
        stack_file = self.folder / "Pulumi.minikube.yaml"
        own = stack_file.read_text()
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.suffix == ".py":
                path.unlink()
        _copy_program(CLONE, self.folder)
        stack_file.write_text(own)

    @property
    def passphrase(self) -> str:
        """The passphrase of the secrets in the state file."""
        return self.environment["PULUMI_CONFIG_PASSPHRASE"]

    @property
    def state_files(self) -> list[Path]:
        """The state file, and Pulumi's files beside it: backups and histories."""
        return [path for path in self._state_folder.rglob("*") if path.is_file()]

    @property
    def _state_folder(self) -> Path:
        address = self.environment["PULUMI_BACKEND_URL"]
        return Path(address.removeprefix("file://").removesuffix(_WITHOUT_ATTRIBUTES))

    @property
    def _state_file(self) -> Path:
        # The folder in between has the name of the project.
        (file,) = self._state_folder.glob(".pulumi/stacks/*/minikube.json")
        return file

    def noted(self) -> list[Resource]:
        """Return the resources in the state file, read from the file: the CLI takes a second."""
        latest: dict[str, list[Resource] | None] | None
        latest = json.loads(self._state_file.read_text())["checkpoint"]["latest"]
        return (latest or {}).get("resources") or []

    def set(self, **settings: str) -> None:
        """Change settings, as `pulumi config set` does, with one call of Pulumi."""
        pairs = [f"--plaintext={key}={value}" for key, value in settings.items()]
        self.pulumi("config", "set-all", "--stack", "minikube", *pairs)

    def set_secret(self, **settings: str) -> None:
        """Change settings that Pulumi encrypts; their values are never in an argument."""
        for key, value in settings.items():
            run(
                ["pulumi", "config", "set", "--stack", "minikube", "--secret", key],
                self.environment,
                seconds=60,
                stdin=value,
                folder=self.folder,
            )

    def pulumi(
        self, *arguments: str, seconds: float = 60, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run Pulumi in the program's folder, without a terminal."""
        command = ["pulumi", *arguments, "--non-interactive"]
        return run(command, self.environment, seconds=seconds, folder=self.folder, check=check)

    def change(
        self, command: str, *arguments: str, seconds: float = UP_SECONDS, check: bool = True
    ) -> str:
        """Run `up`, `preview`, `refresh` or `destroy`, and return the output.

        Raises:
            ProgramError: if Pulumi fails, with what keeps the stack's pods from being ready.
        """
        try:
            answer = self.pulumi(*_change(command), *arguments, seconds=seconds, check=check)
        except ProgramError as failed:
            problems = Watch(self.environment, self.namespace, {}).everything()
            raise ProgramError(f"{failed}\n{problems or 'No pod has a problem.'}") from None
        self.said.append(answer.stdout + answer.stderr)
        return self.said[-1]

    def remove(self) -> None:
        """Destroy the stack. If that fails, remove its namespace, and raise the failure."""
        self._unlock()
        try:
            self.change("destroy")
        except ProgramError:
            self._remove_namespace()
            raise
        finally:
            pod_processes.end_working_in(self.folder)

    @contextmanager
    def up_for_others(self) -> Generator[None]:
        """Bring the stack up anew if the block fails: other tests come after."""
        try:
            yield
        except BaseException:
            self._unlock()
            self._remove_namespace()
            self.change("up", "--refresh")
            raise

    def _unlock(self) -> None:
        # There is a lock if a Pulumi was killed, for instance when its time was up.
        self.pulumi("cancel", "--yes", "--stack", "minikube", check=False)

    def _remove_namespace(self) -> None:
        self.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", seconds=180)

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Start `up` and return while it works, in a process group of its own."""
        return subprocess.Popen(
            ["pulumi", *_change(command), "--non-interactive"],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )

    def outputs(self) -> Outputs:
        """Return the stack's outputs, secret ones in clear.

        The CLI takes a second to decrypt them, so it is asked once for each content of the state.
        """
        changed = self._state_file.stat().st_mtime_ns
        if self._outputs is None or self._outputs[0] != changed:
            answer = self.pulumi(
                "stack", "output", "--stack", "minikube", "--json", "--show-secrets"
            )
            self._outputs = changed, json.loads(answer.stdout)
        found: Outputs = copy.deepcopy(self._outputs[1])
        return found

    def client_env(self, **changed: str) -> dict[str, str]:
        """Return the environment of a client, with some of it changed."""
        return self.outputs()["client_env"] | changed

    def client_env_in_cluster(self) -> dict[str, str]:
        """Return the environment of a client in another pod."""
        return self.client_env(MLFLOW_TRACKING_URI=self.outputs()["tracking_uri_in_cluster"])

    def resources(self, *arguments: str) -> list[Resource]:
        """Return the resources in the state."""
        answer = self.pulumi("stack", "export", "--stack", "minikube", *arguments)
        found: list[Resource] = json.loads(answer.stdout)["deployment"].get("resources", [])
        return found

    def generated_secrets(self) -> dict[str, str]:
        """Return every generated secret, by the name of its resource."""
        return {
            resource["urn"].rpartition("::")[2]: plain(outputs["result"])
            for resource in self.resources("--show-secrets")
            if resource["type"].startswith("random:")
            and "result" in (outputs := resource.get("outputs", {}))
        }


def _copy_program(clone: Path, target: Path) -> None:
    """Copy the files of the program, also those that are not committed yet."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *PROGRAM]
    for name in run(listing, os.environ, seconds=30, folder=clone).stdout.split():
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((clone / name).read_bytes())


def basic_login(client_env: Mapping[str, str]) -> str:
    """Return the Authorization header of a client."""
    user, password = (client_env[f"MLFLOW_TRACKING_{part}"] for part in ("USERNAME", "PASSWORD"))
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def plain(value: str | Mapping[str, str]) -> str:
    """Return a text of the state without Pulumi's mark of a secret."""
    if isinstance(value, str):
        return value
    text: str = json.loads(value["plaintext"])
    return text


def _change(command: str) -> list[str]:
    skip = [] if command == "preview" else ["--yes"]
    if command in ("up", "destroy"):
        skip.append("--skip-preview")
    return [command, "--stack", "minikube", *skip]


def kill(process: subprocess.Popen[bytes], *, group: bool) -> None:
    """End a program with SIGKILL: the process alone, or its whole process group."""
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
