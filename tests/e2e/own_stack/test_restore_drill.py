"""The drill of docs/restore.md, block by block: a stack comes back from its backup, and no more.

The stack is gone, with its state and the passphrase of that state. What is left is the backup
target outside the cluster, the target's key, and the passphrase of the backups.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands.support import hosts_file
from commands.support.cluster import Cluster
from harness import clients
from harness.kubectl import Kubectl
from harness.programs import CLONE, run
from tests.documents import block
from tests.e2e.support import external_servers
from tests.e2e.support.external_servers import BUCKET, Outside
from tests.e2e.support.server_pod import POD_SCRIPTS, SERVER

pytestmark = pytest.mark.long

KEEP_THE_PASSPHRASE = block("docs/restore.md, The drill, 1")
BACK_UP = block("docs/restore.md, The drill, 2")
BRING_BACK = block("docs/restore.md, The drill, 3")
LOOK = block("docs/restore.md, The drill, 4")
SECRETS = [{"api_key": "of the provider"}, ["of the webhook"]]
UP_SECONDS = 600


@dataclass(frozen=True)
class Person:
    """Somebody with a clone of this project and a shell, who has nothing of anybody else's."""

    home: Path
    clone: Path

    @classmethod
    def begin(cls, folder: Path) -> "Person":
        """Give a person a clone of this project."""
        clone = folder / "clone"
        listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        for name in run(listing, os.environ, seconds=30).stdout.splitlines():
            if (CLONE / name).is_file():
                (clone / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(CLONE / name, clone / name)
        for made in (".venv", ".venv-client"):
            (clone / made).symlink_to(CLONE / made)
        # `make` would install into the shared environment what is older than this copy.
        for requirements in clone.glob("requirements*.txt"):
            os.utime(requirements, (0, 0))
        return cls(folder, clone)

    def shell(self, script: str, seconds: float = UP_SECONDS) -> str:
        """Run what was copied into a shell, in the clone; return what it prints."""
        kept = {"XDG_STATE_HOME": str(self.home / "state"), "HOME": os.environ["HOME"]}
        kept |= {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_LAB")}
        kept["PATH"] = f"{self.clone}/.venv-client/bin:{os.environ['PATH']}"
        bash = ["bash", "-euo", "pipefail", "-c", script]
        return run(bash, kept, seconds=seconds, folder=self.clone).stdout

    def stack_file(self, name: str, outside: Outside, **more: str) -> None:
        """Write the file of a stack whose backups go to the bucket outside the cluster."""
        file = self.clone / f"Pulumi.{name}.yaml"
        content = yaml.safe_load((CLONE / "Pulumi.minikube.yaml").read_text())
        settings = {
            "namespace": f"mlflow-e2e-{name}",
            "trackingHost": f"mlflow-e2e-{name}-server.local",
            "artifactHost": f"mlflow-e2e-{name}-minio.local",
            "artifactConsoleHost": f"mlflow-e2e-{name}-console.local",
            "backupStore": "s3",
            "backupBucket": BUCKET,
            "backupEndpoint": outside.endpoint(),
            "backupAccessKeyId": "mlflow",
            "backupCa": outside.ca,
            **more,
        }
        content["config"] |= {f"mlflow:{key}": value for key, value in settings.items()}
        file.write_text(yaml.safe_dump(content))

    def client(self, stack: str) -> tuple[clients.Machine, dict[str, str]]:
        """Return this machine as a client of a stack, and the admin's environment."""
        outputs = json.loads(
            self.shell(
                f'eval "$(make -s env STACK={stack})"\n'
                f"pulumi stack output --json --show-secrets --stack {stack}"
            )
        )
        home = self.home / stack
        home.mkdir(exist_ok=True)
        return clients.Machine(home, outputs["hosts_line"]), outputs["client_env"]

    def destroy(self, stack: str) -> None:
        """Remove a stack, as `make down` does; that also stops the lab, where other tests are."""
        program = "from commands.support import stack; stack.chosen().destroy()"
        self.shell(f"STACK={stack} .venv/bin/python -c '{program}'")


def read(
    machine: clients.Machine, kubectl: Kubectl, admin: Mapping[str, str], alice: Mapping[str, str]
) -> list[Any]:
    """Return what the admin and alice read, and the decrypted secrets."""
    logins = (admin, {**admin, **alice})
    found = [machine.run("read_everything.py", client_env=env, seconds=180) for env in logins]
    said = kubectl.python(SERVER, POD_SCRIPTS / "keep_secrets.py", "read")
    return [*found, json.loads(said.splitlines()[-1])]


@pytest.fixture
def outside(cluster: Cluster, tmp_path: Path) -> Iterator[Outside]:
    """The bucket of the backups, outside the cluster."""
    with external_servers.running(cluster, tmp_path / "outside") as servers:
        yield servers


def test_all_comes_back_from_the_backup_and_the_passphrase_alone(
    cluster: Cluster, outside: Outside, tmp_path: Path
) -> None:
    clients.make_virtual_environment()
    first = Person.begin(tmp_path / "first")
    first.stack_file("minikube", outside)
    old = Kubectl(cluster.environment, "mlflow-e2e-minikube")
    secret = f"{first.home}/key"
    Path(secret).write_text(outside.key)
    set_key = "pulumi config set --secret mlflow:backupSecretAccessKey --stack minikube"
    try:
        first.shell(
            'eval "$(make -s env)"\npulumi stack init minikube --no-select\n'
            f"{set_key} < {secret}\nmake up"
        )
        machine, admin = first.client("minikube")
        added = first.shell(
            'eval "$(make -s env)"\n$(pulumi stack output add_user --stack minikube) alice'
        )
        alice = {
            name: value.strip("'")
            for name, _, value in (
                line[len("export ") :].partition("=") for line in added.splitlines()
            )
            if name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
        }
        machine.run("first_run.py", client_env={**admin, **alice}, seconds=60)
        machine.run(
            "training_job.py", "kept", "--artifact", "1000000", client_env=admin, seconds=180
        )
        kept = old.python(SERVER, POD_SCRIPTS / "keep_secrets.py", "keep")
        assert json.loads(kept.splitlines()[-1]) == SECRETS
        before = read(machine, old, admin, alice)
        first.shell(KEEP_THE_PASSPHRASE)
        first.shell(BACK_UP)
        passphrase = (first.clone / "passphrase").read_text()
    finally:
        first.destroy("minikube")
        hosts_file.remove()
    shutil.rmtree(first.home)

    second = Person.begin(tmp_path / "second")
    second.stack_file("drill", outside)
    (second.clone / "passphrase").write_text(passphrase)
    (second.clone / "key").write_text(outside.key)
    new = Kubectl(cluster.environment, "mlflow-e2e-drill")
    try:
        said = second.shell(BRING_BACK)
        assert "restored backup " in said
        machine, admin = second.client("drill")
        after = read(machine, new, admin, alice)
        assert after == before
        assert after[-1] == SECRETS
        assert after[0]["runs"]
        seen = second.shell(LOOK, seconds=60).splitlines()
        assert {line.split()[0] for line in seen[:-1]} >= {"Default", "alice", "first", "kept"}
        assert seen[-1].endswith(" models")
    finally:
        second.destroy("drill")
        hosts_file.remove()
