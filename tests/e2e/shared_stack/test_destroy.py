"""`pulumi destroy` leaves nothing of the stack anywhere, and `pulumi up` works again afterwards."""

from pathlib import Path

from harness import clients
from harness.kubectl import Kubectl, Object, inventory, wait_for_nothing_more_than
from harness.stack import Stack
from tests.e2e.support import secret_search


def volume_folders(kubectl: Kubectl, namespace: str) -> list[Path]:
    """Return where the volumes of a namespace keep their data, if it is on this machine."""
    specs = [
        volume["spec"]
        for volume in kubectl.json("get", "persistentvolumes")["items"]
        if volume["spec"]["claimRef"]["namespace"] == namespace
    ]
    # Of the database, of the artifact store, and of the backups.
    assert len(specs) == 3
    paths = [Path((spec.get("hostPath") or spec.get("local"))["path"]) for spec in specs]
    return [path for path in paths if path.exists()]


def test_destroy_leaves_nothing_and_up_works_again(
    stack: Stack, machine: clients.Machine, before: set[Object]
) -> None:
    kubectl = stack.kubectl
    made = {found.kind for found in inventory(kubectl) - before}
    assert made >= {"Namespace", "PersistentVolume", "PersistentVolumeClaim", "Secret", "Pod"}
    folders = volume_folders(kubectl, stack.namespace)
    stack.secrets |= stack.generated_secrets()

    with stack.up_for_others():
        stack.change("destroy")
        assert stack.resources() == []
        secret_search.assert_destroy_gave_nothing_away(stack)
        wait_for_nothing_more_than(kubectl, before, 60)
        assert [folder for folder in folders if folder.exists()] == []

        # What held data is gone, so that the stack may be of another kind.
        stack.set(artifactStore="hdfs")
        try:
            stack.change("preview")
        finally:
            stack.set(artifactStore="minio")
        stack.change("up")
    report = machine.run("first_run.py", client_env=stack.client_env(), seconds=60)
    assert report == {"answer": 42.0, "greeting": "hello"}
