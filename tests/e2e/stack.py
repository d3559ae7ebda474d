"""A stack of the tests' own, brought up through the real CLI, that shares nothing with a user's.

It is a copy of the program with a state file, a passphrase, a namespace and host names of its own.
"""

import base64
import json
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands.stack import project
from tests.e2e import processes
from tests.e2e.databases import POSTGRES, Database
from tests.e2e.kubectl import Kubectl
from tests.e2e.programs import CLONE, ProgramError, run

PROGRAM = (
    *("Pulumi.yaml", "Pulumi.minikube.yaml"),
    *("__main__.py", "settings", "wiring.py", "data_guard.py", "outputs.py", "components"),
)
# As commands/stack.py has it: a killed Pulumi leaves files of attributes that end every later one.
_WITHOUT_ATTRIBUTES = "?metadata=skip"
# An `up` that takes longer hangs: its own waits end after 5 minutes.
UP_SECONDS = 420


@dataclass
class Stack:
    """One stack, called `minikube` as a user's is."""

    folder: Path
    namespace: str
    kubectl: Kubectl
    environment: dict[str, str]
    database: Database
    said: list[str] = field(default_factory=list)
    """All that Pulumi printed for users."""
    secrets: dict[str, str] = field(default_factory=dict)
    """What nobody may come across, also when the stack is gone."""

    @classmethod
    def create(
        cls,
        folder: Path,
        environment: Mapping[str, str],
        namespace: str,
        database: Database = POSTGRES,
    ) -> "Stack":
        """Make a copy of the program and an empty stack, as a user's first steps would."""
        program = folder / "program"
        program.mkdir()
        listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *PROGRAM]
        for name in run(listing, environment, seconds=30).stdout.split():
            target = program / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((CLONE / name).read_bytes())
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
        stack.set(
            namespace=namespace,
            backendStore=database.name,
            trackingHost=f"{namespace}-server.local",
            artifactHost=f"{namespace}-minio.local",
            artifactConsoleHost=f"{namespace}-console.local",
        )
        return stack

    @property
    def passphrase(self) -> str:
        """What the secrets in the state file are encrypted with."""
        return self.environment["PULUMI_CONFIG_PASSPHRASE"]

    @property
    def state_files(self) -> list[Path]:
        """The state file, and what Pulumi keeps beside it: backups and histories."""
        return [path for path in self._state_folder.rglob("*") if path.is_file()]

    @property
    def _state_folder(self) -> Path:
        address = self.environment["PULUMI_BACKEND_URL"]
        return Path(address.removeprefix("file://").removesuffix(_WITHOUT_ATTRIBUTES))

    def noted(self) -> list[dict[str, Any]]:
        """Return the resources in the state file, at once: the CLI takes a second to tell."""
        file = self._state_folder / ".pulumi" / "stacks" / project() / "minikube.json"
        latest = json.loads(file.read_text())["checkpoint"]["latest"] or {}
        found: list[dict[str, Any]] = latest.get("resources") or []
        return found

    def set(self, **settings: str) -> None:
        """Change settings, as `pulumi config set` does."""
        for key, value in settings.items():
            self.pulumi("config", "set", "--stack", "minikube", key, value)

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
        """Run Pulumi in the program's folder, with nobody at the keyboard."""
        command = ["pulumi", *arguments, "--non-interactive"]
        return run(command, self.environment, seconds=seconds, folder=self.folder, check=check)

    def change(
        self, command: str, *arguments: str, seconds: float = UP_SECONDS, check: bool = True
    ) -> str:
        """Run `up`, `preview`, `refresh` or `destroy`, and return what a user would read."""
        answer = self.pulumi(*_change(command), *arguments, seconds=seconds, check=check)
        self.said.append(answer.stdout + answer.stderr)
        return self.said[-1]

    def remove(self) -> None:
        """Destroy the stack, whatever became of it; where that fails, at least what is inside."""
        self._unlock()
        try:
            self.change("destroy")
        except ProgramError:
            self._remove_namespace()
            raise
        finally:
            processes.end_working_in(self.folder)

    @contextmanager
    def up_for_others(self) -> Iterator[None]:
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

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs, secret ones in clear."""
        answer = self.pulumi("stack", "output", "--stack", "minikube", "--json", "--show-secrets")
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    def client_env(self, **changed: str) -> dict[str, str]:
        """Return the environment of a client, with some of it changed."""
        found: dict[str, str] = self.outputs()["client_env"]
        return found | changed

    def client_env_in_cluster(self) -> dict[str, str]:
        """Return the environment of a client in another pod."""
        return self.client_env(MLFLOW_TRACKING_URI=self.outputs()["tracking_uri_in_cluster"])

    def resources(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the resources in the state."""
        answer = self.pulumi("stack", "export", "--stack", "minikube", *arguments)
        found: list[dict[str, Any]] = json.loads(answer.stdout)["deployment"].get("resources", [])
        return found

    def generated_secrets(self) -> dict[str, str]:
        """Return every secret that the program had made, by the name of its resource."""
        return {
            resource["urn"].rpartition("::")[2]: plain(resource["outputs"]["result"])
            for resource in self.resources("--show-secrets")
            if resource["type"].startswith("random:") and "result" in resource.get("outputs", {})
        }


def basic_login(client_env: Mapping[str, str]) -> str:
    """Return the Authorization header of a client."""
    user, password = (client_env[f"MLFLOW_TRACKING_{part}"] for part in ("USERNAME", "PASSWORD"))
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def plain(value: Any) -> Any:
    """Return a value of the state without the wrapping that marks it as secret."""
    return (
        json.loads(value["plaintext"])
        if isinstance(value, dict) and "plaintext" in value
        else value
    )


def _change(command: str) -> list[str]:
    skip = [] if command == "preview" else ["--yes"]
    if command in ("up", "destroy"):
        skip.append("--skip-preview")
    return [command, "--stack", "minikube", *skip]


def kill(process: subprocess.Popen[bytes], *, group: bool) -> None:
    """End a program with SIGKILL: alone, as a user might, or with all that it started."""
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
