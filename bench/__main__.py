"""Measure a stack of its own on the cluster in use, and print the figures with their goals."""

import argparse
import dataclasses
import datetime
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import beside_kubectl, beside_plain, transfers
from commands.support import cluster_for_tests, images
from commands.support import stack as stacks
from commands.support.console import CommandError, main, say
from harness import clients, crowd, pod_processes
from harness.backend_stores import MYSQL, POSTGRES
from harness.kubectl import inventory, wait_for_nothing_more_than
from harness.pod_memory import Memory
from harness.programs import ProgramError
from harness.stack import Stack

NAMESPACE = "mlflow-bench"
APPS = ("mlflow", "postgres", "minio")
DATABASES = {each.name: each for each in (POSTGRES, MYSQL)}
# By then, connections are made, and Python's allocator has settled.
REST_SECONDS = 20


@dataclass(frozen=True)
class Figure:
    """A figure that is measured, and its goal."""

    what: str
    unit: str
    goal: float | None = None

    @property
    def goal_text(self) -> str:
        """The goal in words: the least value of a ratio (no unit), or the most of other figures."""
        if self.goal is None:
            return ""
        return f"{self.goal:g} {self.unit} or less" if self.unit else f"{self.goal:g} or more"


REFUSAL = Figure("`up` with a wrong setting, until it is refused", "s", 5)
UP = Figure("`up` from nothing, images present", "s")
FIRST_RUN = Figure("... and until a first run is logged and read back", "s", 60)
NO_OP = Figure("`up` with nothing to do", "s", 8)
DESTROY = Figure("`destroy`, nothing left", "s", 45)
SERVER = Figure("tracking server at rest, 2 workers (PSS)", "MiB", 300)
WHOLE = Figure("whole stack at rest (PSS)", "MiB", 700)
UPLOAD = Figure("600 MB artifact up, through the ingress", "MB/s")
DOWNLOAD = Figure("600 MB artifact down, through the ingress", "MB/s")
STORES = {"minio": 128, "hdfs": 64}
"""Every artifact store, and the goal in MiB for the server's growth while 1 GB passes."""
THROUGH = {
    (store, what): Figure(f"{store}: 1 GB {what}", "MB/s")
    for store in STORES
    for what in ("up", "down", "up, past the server", "down, past the server")
}
RATIO = {
    (store, what): Figure(f"{store}: {what} through the server / past it", "", 0.5)
    for store in STORES
    for what in ("up", "down")
}
GROWTH = {
    store: Figure(f"{store}: the server's growth meanwhile (PSS)", "MiB", goal)
    for store, goal in STORES.items()
}
# The limit of the server's pod is 1024 MiB.
CROWD = {
    (store, who): Figure(
        f"{store}: the server while {crowd.EACH} {who} uploads and {crowd.EACH} downloads of 20 MB "
        "are under way (PSS)",
        "MiB",
        800,
    )
    for store in STORES
    for who in ("slow", "fast")
}
AFTERWARDS = {
    store: Figure(f"{store}: ... and {REST_SECONDS} s after them", "MiB", 400) for store in STORES
}
SLOW_SECONDS = 20
# Each server is measured in turn with the others: 10 params and 10 batches of 10 metrics a run.
SERVERS = {
    "plain": "plain `mlflow server`, which has no login",
    "open": "ours without a login",
    "login": "ours with a login",
}
RUNS = {
    (server, clients): Figure(f"{clients} clients: runs, {what}", "runs/s")
    for clients in beside_plain.CLIENTS
    for server, what in SERVERS.items()
}
FAILED = {
    (server, clients): Figure(f"{clients} clients: failed requests, {what}", "requests", goal)
    for clients in beside_plain.CLIENTS
    for (server, what), goal in zip(SERVERS.items(), (None, 0, 0), strict=True)
}
FASTER = {
    (server, clients): Figure(f"{clients} clients: runs, ours {what} / plain", "", goal)
    for clients in beside_plain.CLIENTS
    for server, what, goal in (("open", "without a login", 2.0), ("login", "with a login", 1.5))
}
SOONER = {
    clients: Figure(f"{clients} clients: 95th percentile of requests, plain / ours", "", 2.0)
    for clients in beside_plain.CLIENTS
}
SIDES = ("`pulumi up`", "plain manifests")
DEPLOYS = {
    (side, what): Figure(f"{side}: {text}", "s")
    for side in SIDES
    for what, text in (
        ("up", "until everything is ready"),
        ("first_run", "... and until a first run is logged and read back"),
        ("gone", "removal, until nothing is left"),
    )
}
# At most 1.2 times as long as plain manifests.
AS_SOON = {
    what: Figure(f"{text}: plain manifests / `pulumi up`", "", goal)
    for what, text, goal in (
        ("up", "everything is ready", 0.83),
        ("first_run", "a first run is read back", None),
        ("gone", "nothing is left", 0.83),
    )
}
LOGIN = Figure("8 clients: runs with a login / without one", "", 0.8)
CLIENT_CORES = Figure("cores that the clients of these figures use", "cores")
FIGURES = (
    *(REFUSAL, UP, FIRST_RUN, NO_OP, DESTROY, SERVER, WHOLE, UPLOAD, DOWNLOAD),
    *THROUGH.values(),
    *RATIO.values(),
    *GROWTH.values(),
    *CROWD.values(),
    *AFTERWARDS.values(),
    *RUNS.values(),
    *FAILED.values(),
    *FASTER.values(),
    *SOONER.values(),
    *DEPLOYS.values(),
    *AS_SOON.values(),
    *(LOGIN, CLIENT_CORES),
)


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.monotonic()
    action()
    return time.monotonic() - start


def one_round(stack: Stack, home: Path, found: dict[Figure, list[float]]) -> None:
    """Make the stack, measure it, and destroy it."""
    # A run that was killed may have left its namespace.
    stack.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", seconds=180)
    before = inventory(stack.kubectl)
    note_refusal(stack, found)
    start = time.monotonic()
    stack.change("up")
    found[UP].append(time.monotonic() - start)
    outputs = stack.outputs()
    client = clients.Machine(home, outputs["hosts_line"])
    client_env = stack.client_env()
    client.run("first_run.py", client_env=client_env, seconds=120)
    found[FIRST_RUN].append(time.monotonic() - start)

    found[NO_OP].append(timed(lambda: stack.change("up", "--expect-no-changes")))

    time.sleep(REST_SECONDS)
    share = {
        app: sum(pod_processes.memory(one) for one in pod_processes.of_pod(stack.kubectl.pod(app)))
        / 1024
        for app in APPS
    }
    if all(share.values()):  # otherwise the processes run on another machine
        found[SERVER].append(share["mlflow"])
        found[WHOLE].append(sum(share.values()))

    size = 600_000_000
    (artifact,) = client.run(
        *("training_job.py", "bench", "--artifact", str(size)), client_env=client_env, seconds=600
    )["artifacts"]
    found[UPLOAD].append(size / 1e6 / artifact["upload_seconds"])
    found[DOWNLOAD].append(size / 1e6 / artifact["download_seconds"])

    note_transfers(stack, "minio", found)
    note_crowd(stack, "minio", found)
    note_load(stack, home, found)

    def destroy() -> None:
        stack.change("destroy")
        wait_for_nothing_more_than(stack.kubectl, before, 120)

    found[DESTROY].append(timed(destroy))


def note_refusal(stack: Stack, found: dict[Figure, list[float]]) -> None:
    """Note the seconds until a wrong setting is refused."""
    stack.set(workers="0")
    start = time.monotonic()
    said = stack.change("up", check=False)
    found[REFUSAL].append(time.monotonic() - start)
    assert "mlflow:workers: '0'" in said, said
    stack.pulumi("config", "rm", "--stack", "minikube", "workers")


def note_transfers(stack: Stack, store: str, found: dict[Figure, list[float]]) -> None:
    """Note the speed of a store through the server and past it, and the server's growth."""
    moved = transfers.measure(stack, store)
    found[THROUGH[store, "up"]].append(moved.up)
    found[THROUGH[store, "down"]].append(moved.down)
    found[THROUGH[store, "up, past the server"]].append(moved.direct_up)
    found[THROUGH[store, "down, past the server"]].append(moved.direct_down)
    found[RATIO[store, "up"]].append(moved.up / moved.direct_up)
    found[RATIO[store, "down"]].append(moved.down / moved.direct_down)
    found[GROWTH[store]].append(moved.growth)


def note_crowd(stack: Stack, store: str, found: dict[Figure, list[float]]) -> None:
    """Note the memory of the server while many clients move artifacts."""
    clients = crowd.Crowd(stack)
    for who, seconds in (("slow", SLOW_SECONDS), ("fast", 0)):
        memory = Memory(stack.kubectl.pod("mlflow"))
        with memory.watched():
            clients.move(seconds)
        found[CROWD[store, who]].append(memory.most)
    rest = Memory(stack.kubectl.pod("mlflow"))
    with rest.watched():
        time.sleep(REST_SECONDS)
    found[AFTERWARDS[store]].append(rest.last)


def note_load(stack: Stack, home: Path, found: dict[Figure, list[float]]) -> None:
    """Note the runs per second of this server with and without a login, and of a plain one."""
    measured = beside_plain.measure(home, NAMESPACE, stack)
    for number, turns in measured.items():
        for turn in turns:
            for server, of in (("plain", turn.plain), ("open", turn.open), ("login", turn.login)):
                found[RUNS[server, number]].append(of.runs)
                found[FAILED[server, number]].append(of.failed)
                found[CLIENT_CORES].append(of.cores)
            found[FASTER["open", number]].append(turn.open.runs / turn.plain.runs)
            found[FASTER["login", number]].append(turn.login.runs / turn.plain.runs)
            found[SOONER[number]].append(turn.plain.slow / turn.open.slow)
    found[LOGIN] += [turn.login.runs / turn.open.runs for turn in measured[8]]


def note_deploys(stack: Stack, home: Path, found: dict[Figure, list[float]]) -> None:
    """Note how soon a stack and plain manifests are up, and gone."""
    for pair in beside_kubectl.measure(stack, home):
        ours, plain = map(dataclasses.asdict, pair)
        for side, seconds in zip(SIDES, (ours, plain), strict=True):
            for what, taken in seconds.items():
                found[DEPLOYS[side, what]].append(taken)
        for what, figure in AS_SOON.items():
            found[figure].append(plain[what] / ours[what])


def hdfs_round(stack: Stack, found: dict[Figure, list[float]]) -> None:
    """Measure the figures of HDFS."""
    stack.set(artifactStore="hdfs")
    stack.change("up")
    note_transfers(stack, "hdfs", found)
    note_crowd(stack, "hdfs", found)
    stack.change("destroy")
    stack.set(artifactStore="minio")


def about(stack: Stack) -> list[str]:
    """Return lines on the machine, the versions and the date."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    version = stack.kubectl.json("version")["serverVersion"]["gitVersion"]
    pulumi = stack.pulumi("version").stdout.strip()
    chosen = stacks.settings("minikube")
    shown = ", ".join(
        chosen.images[f"{what}Image"] for what in ("server", "postgres", "minio", "hdfs")
    )
    return [
        f"machine: {os.cpu_count()} cores, {memory:.0f} GiB, {platform.platform()}",
        f"versions: Pulumi {pulumi}, Kubernetes {version}, {shown}",
        f"date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
    ]


def row(figure: Figure, values: list[float]) -> str:
    """Return one line of the table."""
    if not values:
        return f"| {figure.what} | not to be seen from here | | |"
    digits = 1 if figure.unit else 2
    median = f"{statistics.median(values):.{digits}f} {figure.unit}".strip()
    every = ", ".join(f"{value:.{digits}f}" for value in values)
    return f"| {figure.what} | {median} | {figure.goal_text} | {every} |"


def command() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="times from nothing to nothing")
    parser.add_argument("--load", choices=DATABASES, help="log runs only, on this database")
    parser.add_argument("--deploys", action="store_true", help="only bring up and remove, in turn")
    given = parser.parse_args()
    only_some = given.load or given.deploys
    clients.make_virtual_environment()
    found: dict[Figure, list[float]] = defaultdict(list)
    database = DATABASES[given.load or POSTGRES.name]
    with cluster_for_tests.ready() as cluster, tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        # Each store's images, and those of the database.
        for store in ("minio", "hdfs"):
            chosen = stacks.settings("minikube", artifactStore=store, backendStore=database.name)
            images.provide(cluster, chosen)
        stack = Stack.create(home, cluster.environment, NAMESPACE, database)
        try:
            # Tests have small servers. What is measured has the usual ones.
            stack.pulumi("config", "rm", "--stack", "minikube", "serverPods")
            if given.deploys:
                say("measuring, usually 15 min ...")
                note_deploys(stack, home, found)
            elif given.load:
                say("measuring, usually 8 min ...")
                stack.change("up")
                note_load(stack, home, found)
            else:
                for number in range(given.rounds):
                    say(f"measuring, round {number + 1} of {given.rounds}, usually 14 min ...")
                    one_round(stack, home, found)
                    hdfs_round(stack, found)
                note_deploys(stack, home, found)
        except ProgramError as error:
            raise CommandError(str(error)) from None
        finally:
            stack.change("destroy", check=False)
        lines = about(stack)
    print("\n".join(lines))
    print("\n| what | median | goal | each |\n|---|---|---|---|")
    print("\n".join(row(each, found[each]) for each in FIGURES if found[each] or not only_some))


if __name__ == "__main__":
    main(command)
