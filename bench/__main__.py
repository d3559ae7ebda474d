"""Measure a stack of its own on the cluster in use, and print the figures with their goals."""

import argparse
import dataclasses
import datetime
import os
import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from bench import beside_kubectl, beside_plain, figures, report, timeline, transfers
from bench.figures import Figure
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
SLOW_SECONDS = 20
# Times that a file is moved through the server and past it, in turn, when only that is asked for.
TRANSFERS = 8


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
    found[figures.UP].append(time.monotonic() - start)
    outputs = stack.outputs()
    client = clients.Machine(home, outputs["hosts_line"])
    client_env = stack.client_env()
    client.run("first_run.py", client_env=client_env, seconds=120)
    found[figures.FIRST_RUN].append(time.monotonic() - start)

    found[figures.NO_OP].append(timed(lambda: stack.change("up", "--expect-no-changes")))

    time.sleep(figures.REST_SECONDS)
    share = {
        app: sum(pod_processes.memory(one) for one in pod_processes.of_pod(stack.kubectl.pod(app)))
        / 1024
        for app in APPS
    }
    if all(share.values()):  # otherwise the processes run on another machine
        found[figures.SERVER].append(share["mlflow"])
        found[figures.WHOLE].append(sum(share.values()))

    size = 600_000_000
    (artifact,) = client.run(
        *("training_job.py", "bench", "--artifact", str(size)), client_env=client_env, seconds=600
    )["artifacts"]
    found[figures.UPLOAD].append(size / 1e6 / artifact["upload_seconds"])
    found[figures.DOWNLOAD].append(size / 1e6 / artifact["download_seconds"])

    note_transfers(stack, "minio", found)
    note_small_files(stack, home, found)
    note_crowd(stack, "minio", found)
    note_load(stack, home, found)

    def destroy() -> None:
        stack.change("destroy")
        wait_for_nothing_more_than(stack.kubectl, before, 120)

    found[figures.DESTROY].append(timed(destroy))


def note_refusal(stack: Stack, found: dict[Figure, list[float]]) -> None:
    """Note the seconds until a wrong setting is refused."""
    stack.set(workers="0")
    start = time.monotonic()
    said = stack.change("up", check=False)
    found[figures.REFUSAL].append(time.monotonic() - start)
    assert "mlflow:workers: '0'" in said, said
    stack.pulumi("config", "rm", "--stack", "minikube", "workers")


def note_transfers(stack: Stack, store: str, found: dict[Figure, list[float]]) -> None:
    """Note the speed of a store through the server and past it, and the server's growth."""
    moved = transfers.measure(stack, store)
    found[figures.THROUGH[store, "up"]].append(moved.up)
    found[figures.THROUGH[store, "down"]].append(moved.down)
    found[figures.THROUGH[store, "up, past the server"]].append(moved.direct_up)
    found[figures.THROUGH[store, "down, past the server"]].append(moved.direct_down)
    found[figures.RATIO[store, "up"]].append(moved.up / moved.direct_up)
    found[figures.RATIO[store, "down"]].append(moved.down / moved.direct_down)
    found[figures.GROWTH[store]].append(moved.growth)


def note_small_files(stack: Stack, home: Path, found: dict[Figure, list[float]]) -> None:
    """Note the seconds of small files through this server and through a plain one."""
    for ours, plain in transfers.small_files(home, stack):
        for way, own, other in (("up", ours.up, plain.up), ("down", ours.down, plain.down)):
            found[figures.SMALL_FILES["ours", way]].append(own)
            found[figures.SMALL_FILES["plain", way]].append(other)
            found[figures.SMALL_RATIO[way]].append(other / own)


def note_crowd(stack: Stack, store: str, found: dict[Figure, list[float]]) -> None:
    """Note the memory of the server while many clients move artifacts."""
    clients = crowd.Crowd(stack)
    for who, seconds in (("slow", SLOW_SECONDS), ("fast", 0)):
        memory = Memory(stack.kubectl.pod("mlflow"))
        with memory.watched():
            clients.move(seconds)
        found[figures.CROWD[store, who]].append(memory.most)
    rest = Memory(stack.kubectl.pod("mlflow"))
    with rest.watched():
        time.sleep(figures.REST_SECONDS)
    found[figures.AFTERWARDS[store]].append(rest.last)


def note_load(stack: Stack, home: Path, found: dict[Figure, list[float]]) -> None:
    """Note the runs per second of this server with and without a login, and of a plain one."""
    measured = beside_plain.measure(home, NAMESPACE, stack)
    for number, turns in measured.items():
        for turn in turns:
            for server, of in (("plain", turn.plain), ("open", turn.open), ("login", turn.login)):
                found[figures.RUNS[server, number]].append(of.runs)
                found[figures.FAILED[server, number]].append(of.failed)
                found[figures.CLIENT_CORES].append(of.cores)
            found[figures.FASTER["open", number]].append(turn.open.runs / turn.plain.runs)
            found[figures.FASTER["login", number]].append(turn.login.runs / turn.plain.runs)
            found[figures.SOONER[number]].append(turn.plain.slow / turn.open.slow)
    found[figures.LOGIN] += [turn.login.runs / turn.open.runs for turn in measured[8]]


def note_deploys(stack: Stack, home: Path, found: dict[Figure, list[float]]) -> None:
    """Note how soon a stack and plain manifests are up, and gone."""
    for pair in beside_kubectl.measure(stack, home):
        ours, plain = map(dataclasses.asdict, pair)
        for side, seconds in zip(figures.SIDES, (ours, plain), strict=True):
            for what, taken in seconds.items():
                found[figures.DEPLOYS[side, what]].append(taken)
        for what, figure in figures.AS_SOON.items():
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


def show_timeline(stack: Stack, scratch: Path) -> None:
    """Print what takes the seconds of one `up` from nothing, and of `destroy`."""
    stack.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", seconds=180)
    for change in ("up", "destroy"):
        spans = timeline.measure(stack, change, scratch)
        print("\n| from second | seconds | what |\n|---|---|---|")
        print("\n".join(timeline.rows(spans)))


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="times from nothing to nothing")
    parser.add_argument(
        "--keep", action="store_true", help="keep the figures, for later runs to compare with"
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--load", choices=DATABASES, help="log runs only, on this database")
    only.add_argument("--deploys", action="store_true", help="only bring up and remove, in turn")
    only.add_argument(
        "--transfers", choices=figures.STORES, help="only move artifacts, to this store"
    )
    only.add_argument(
        "--timeline", action="store_true", help="only show what the seconds of a deploy are"
    )
    return parser.parse_args()


def measure(
    given: argparse.Namespace, stack: Stack, home: Path, found: dict[Figure, list[float]]
) -> None:
    """Measure what is asked for, on a stack that is not up."""
    if given.timeline:
        show_timeline(stack, home)
    elif given.deploys:
        say("measuring, usually 15 min ...")
        note_deploys(stack, home, found)
    elif given.load:
        say("measuring, usually 8 min ...")
        stack.change("up")
        note_load(stack, home, found)
    elif given.transfers:
        say("measuring, usually 5 min ...")
        stack.set(artifactStore=given.transfers)
        stack.change("up")
        for _ in range(TRANSFERS):
            note_transfers(stack, given.transfers, found)
        if given.transfers == "minio":  # A plain server has no client of HDFS.
            note_small_files(stack, home, found)
    else:
        for number in range(given.rounds):
            say(f"measuring, round {number + 1} of {given.rounds}, usually 14 min ...")
            one_round(stack, home, found)
            hdfs_round(stack, found)
        note_deploys(stack, home, found)


def command() -> None:
    """Measure, print the table, and say what became worse."""
    given = arguments()
    clients.make_virtual_environment()
    found: dict[Figure, list[float]] = defaultdict(list)
    database = DATABASES[given.load or POSTGRES.name]
    with cluster_for_tests.ready() as cluster, tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        # Each store's images, and those of the database.
        for store in figures.STORES:
            chosen = stacks.settings("minikube", artifactStore=store, backendStore=database.name)
            images.provide(cluster, chosen)
        stack = Stack.create(home, cluster.environment, NAMESPACE, database)
        try:
            # Tests have small servers. What is measured has the usual ones.
            stack.pulumi("config", "rm", "--stack", "minikube", "serverPods")
            measure(given, stack, home, found)
        except ProgramError as error:
            # What took minutes to measure is not lost.
            print("\n".join(report.table(found, every=False)))
            raise CommandError(str(error)) from None
        finally:
            stack.change("destroy", check=False)
        lines = about(stack)
    print("\n".join(lines))
    if given.timeline:
        return
    print()
    some = given.load or given.deploys or given.transfers
    print("\n".join(report.table(found, every=not some)))
    print("\n".join(report.worse(lines, found)) or "No figure is worse than the kept one.")
    if given.keep:
        report.keep(lines, found)


if __name__ == "__main__":
    main(command)
