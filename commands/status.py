"""Show what runs: `make status`."""

import json
from datetime import UTC, datetime
from typing import Any

from commands.support import backups, stack
from commands.support.console import capture, main
from commands.support.diagnose import Watch
from components.backend_stores._patroni import ROLE


def command() -> None:
    """Print the cluster, the stack's outputs, pods, volumes and backups, and what is wrong."""
    chosen = stack.chosen()
    found = chosen.cluster
    if not chosen.exists():
        print(f"Nothing is up: stack {chosen.name} is not on {found.describe()}.")
        return
    if not found.running():
        print(f"Stack {chosen.name} is on {found.describe()}, which is stopped: `make up`.")
        return
    print(f"Stack {chosen.name} on {found.describe()}\n")
    for name, value in chosen.outputs().items():
        print(f"  {name:<26}{value}")
    settings = stack.some_settings(chosen.name, *stack.WHAT_RUNS, "databaseReplicas")
    namespace = settings.namespace
    for kinds in ("pods", "persistentvolumeclaims"):
        asked = ["kubectl", "get", kinds, f"--namespace={namespace}"]
        if kinds == "pods" and settings.database_replicas > 1:
            # A column with the role of each member of the database.
            asked.append(f"--label-columns={ROLE}")
        shown = capture(asked, found.environment)
        print(f"\n{shown.stdout or shown.stderr}", end="")
    objects_of = ["kubectl", "get", "cronjobs,jobs,deployments", f"--namespace={namespace}"]
    listed = capture([*objects_of, "--output=json"], found.environment)
    objects: list[dict[str, Any]] = []
    if listed.returncode == 0:
        objects = json.loads(listed.stdout)["items"]
    lines, warnings = backups.report(objects, datetime.now(UTC))
    print("", *lines, *(f"warning: {line}" for line in warnings), sep="\n")
    if wrong := Watch(found.environment, namespace, settings.images).everything():
        print(f"\n{wrong}")


if __name__ == "__main__":
    main(command)
