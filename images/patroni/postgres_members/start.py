"""The first program of a member's pod: decides whether Patroni may start, and becomes Patroni.

The members have one history. It begins on the first member, on an empty volume or with the data of
a single server. From then on, the record of the members has the number of the database
(`initialize`), and a member whose volume is empty copies another member. Without a record, no
member but the first may begin, and none whose volume has data of a member: other members may have
more of what was acknowledged.
"""

import enum
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from postgres_members.cluster import Cluster
from postgres_members.data import Data
from postgres_members.settings import PATRONI_PORT, of_member
from postgres_members.waiting import Waiting, answered

CONFIGURATION = Path("/tmp/patroni.yml")  # noqa: S108 (in the pod)
_LOGINS = ("REPLICATION_USERNAME", "REPLICATION_PASSWORD", "REWIND_USERNAME", "REWIND_PASSWORD")
_ROUND_SECONDS = 2
_SAID_EVERY_SECONDS = 60


class Step(enum.Enum):
    """What a member does at its start."""

    JOIN = "start Patroni"
    FOUND = "make a database on the empty volume"
    TAKE_OVER = "begin with a single server's data"
    WAIT = "wait for the first member"
    WAIT_FOR_RECORD = (
        "error: the record of the members (annotation initialize of the ConfigMap "
        "{scope}-config) is gone, and this volume has a member's data: see "
        "docs/high-availability.md#the-record-is-lost"
    )


def decide(initialize: str | None, data: Data, *, first: bool) -> Step:
    """Return what a member does.

    Args:
        initialize: the number of the database in the record, None before there is one.
        data: the member's data.
        first: whether it is the first member.
    """
    if initialize:
        return Step.JOIN
    if data.is_of_member:
        return Step.WAIT_FOR_RECORD
    if not first:
        return Step.WAIT
    return Step.TAKE_OVER if data.is_there else Step.FOUND


def main() -> NoReturn:
    """Become Patroni, or end with one line."""
    # The kernel passes a signal to a container's first program only where the program handles it.
    signal.signal(signal.SIGTERM, _end)
    try:
        _start(dict(os.environ))
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit("start: ended while it waited")


def _start(variables: dict[str, str]) -> NoReturn:
    """Wait until Patroni may start, prepare the data, and become Patroni."""
    name, scope = variables["PATRONI_NAME"], variables["PATRONI_SCOPE"]
    cluster = Cluster(variables["PATRONI_KUBERNETES_NAMESPACE"], scope)
    data = Data(Path(variables["PGDATA"]))
    data.tidy()
    with answered(variables["POD_ADDRESS"], PATRONI_PORT) as waiting:
        step = _decided(cluster, data, waiting, first=name == f"{scope}-0", scope=scope)
        print(f"start: {step.value}")
        if not data.is_there:
            # Patroni would take half of a copy for a broken database, and wait for a person.
            data.remove()
        if step is Step.FOUND:
            data.make(variables["PATRONI_SUPERUSER_PASSWORD"])
        if step is not Step.JOIN:
            data.make_roles({f"MEMBERS_{key}": variables[f"PATRONI_{key}"] for key in _LOGINS})
            cluster.note({"initialize": data.system()})
        _note_settings(cluster, json.loads(variables["MEMBERS_SETTINGS"]))
    CONFIGURATION.write_text(of_member(variables))
    patroni = str(Path(sys.executable).with_name("patroni"))
    os.execv(patroni, [patroni, str(CONFIGURATION)])  # noqa: S606 (no shell)


def _decided(cluster: Cluster, data: Data, waiting: Waiting, *, first: bool, scope: str) -> Step:
    """Return what the member does, once it does not wait any more."""
    said_at = -float(_SAID_EVERY_SECONDS)
    while True:
        try:
            step = decide(cluster.record().get("initialize"), data, first=first)
            if step not in (Step.WAIT, Step.WAIT_FOR_RECORD):
                return step
            # The StatefulSet's controller replaces the pod of a single server last, after all other
            # pods are ready.
            waiting.ready = step is Step.WAIT and cluster.has_single_server()
            problem = step.value.format(scope=scope)
        except OSError as error:
            problem = f"the Kubernetes API does not answer: {error}"
        if time.monotonic() - said_at >= _SAID_EVERY_SECONDS:
            said_at = time.monotonic()
            print(f"start: {problem}")
        time.sleep(_ROUND_SECONDS)


def _note_settings(cluster: Cluster, settings: dict[str, object]) -> None:
    """Put the settings that all members have in common into the record.

    What a person has added by `patronictl`, such as a pause, stays.
    """
    noted: dict[str, object] = json.loads(cluster.record().get("config") or "{}")
    wanted = {**noted, **settings}
    if wanted != noted:
        cluster.note({"config": json.dumps(wanted)})


if __name__ == "__main__":
    main()
