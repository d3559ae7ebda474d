"""Inject many faults into stacks while clients write, read everything back, and write a report.

`make soak` repeats rounds. A round makes a stack of one pair of database and artifact store, tries
faults in random order, compares all that was acknowledged, and removes the stack. Finished rounds
are kept in a file, from which the next `make soak` goes on.
"""

import argparse
import datetime
import json
import os
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from commands.support import cluster_for_tests, images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from commands.support.console import CommandError, main, say, state_folder
from harness import clients
from harness.backend_stores import DATABASES
from harness.ledger.faults import Fault, Target, faults_of
from harness.ledger.report import Round, placed, report, totals
from harness.ledger.trials import Trial, try_fault, writing
from harness.programs import ProgramError
from harness.stack import Stack

# What making, reading back and removing a stack take.
_AROUND_SECONDS = 150


@dataclass(frozen=True)
class Pair:
    """What a stack is made of."""

    database: str
    store: str
    replicas: int

    @property
    def name(self) -> str:
        """The names of both."""
        return f"{self.database}+{self.store}"


PAIRS = (
    Pair("postgres", "minio", 2),
    Pair("mysql", "hdfs", 1),
    Pair("postgres", "hdfs", 2),
    Pair("mysql", "minio", 1),
)


class Notes:
    """The finished rounds, in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.rounds: list[Round] = json.loads(file.read_text()) if file.exists() else []

    def add(self, one: Round) -> None:
        """Keep a finished round."""
        self.rounds.append(one)
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(self.rounds))
        partial.replace(self._file)

    def tried(self, pair: Pair) -> Counter[str]:
        """Return how often each fault was tried with a pair."""
        return Counter(
            trial["fault"]
            for one in self.rounds
            if one["pair"] == pair.name
            for trial in one["trials"]
        )

    @property
    def number(self) -> int:
        """How many faults were tried."""
        return sum(len(one["trials"]) for one in self.rounds)


@dataclass
class Budget:
    """How many faults to try, and until when."""

    faults: int
    end: float
    """As time.monotonic() counts."""

    def allows(self, seconds: float) -> bool:
        """Say whether there is room for one more fault that takes so long."""
        return self.faults > 0 and time.monotonic() + seconds < self.end


def _round(
    cluster: Cluster, pair: Pair, chance: random.Random, notes: Notes, budget: Budget
) -> Round:
    """Make a stack, try faults, read back, and remove the stack."""
    namespace = f"mlflow-soak-{pair.database}-{pair.store}"
    chosen = {"backendStore": pair.database, "artifactStore": pair.store}
    images.provide(cluster, stacks.settings("minikube", **chosen))
    trials: list[Trial] = []
    problem = ""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        stack = Stack.create(folder, cluster.environment, namespace, DATABASES[pair.database])
        # A run that was killed may have left its namespace.
        stack.kubectl("delete", "namespace", namespace, "--ignore-not-found", seconds=180)
        try:
            stack.set(**chosen, replicas=str(pair.replicas))
            stack.change("up")
            target = Target.of(stack.kubectl)
            machine = clients.Machine(folder, stack.outputs()["hosts_line"])
            with writing(machine, folder, stack.client_env()) as writers:
                try:
                    known = faults_of(target, None if os.environ.get("SHARED") else cluster)
                    faults = _in_order(known, notes.tried(pair), chance)
                    for fault in faults:
                        if budget.allows(fault.seconds + _AROUND_SECONDS):
                            trials.append(try_fault(target, writers, fault, fresh=True))
                            budget.faults -= 1
                            say(f"{pair.name} {trials[-1].shown()}")
                except (AssertionError, ProgramError) as error:
                    problem = " ".join(str(error).split())[:300]
                    say(f"{pair.name}: {problem}")
                writers.stop()
                ledger = writers.read_back()
            version = stack.kubectl.json("version")["serverVersion"]["gitVersion"]
        finally:
            stack.remove()
    named = stacks.settings("minikube", **chosen).images
    shown = [named[f"{one}Image"] for one in ("server", pair.database, pair.store)]
    return {
        "pair": pair.name,
        "replicas": pair.replicas,
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        "versions": f"Kubernetes {version}, {', '.join(shown)}",
        "problem": problem,
        "trials": [trial.as_json() for trial in trials],
        "ledger": ledger,
    }


def _in_order(faults: list[Fault], tried: Counter[str], chance: random.Random) -> list[Fault]:
    """Return the faults in random order, those first that were tried the least."""
    return sorted(faults, key=lambda one: (tried[one.name], chance.random()))


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not int(text):
        raise CommandError(f"{name}={text}: expected a whole number of at least 1")
    return int(text)


def command() -> int:
    """Run rounds until there were as many faults, or minutes, as were asked for.

    Returns:
        0 if nothing that was acknowledged is lost or differs.
    """
    parser = argparse.ArgumentParser(prog="python -m harness.ledger", description=__doc__)
    parser.add_argument("--report", type=Path, help="file that receives the report")
    parser.add_argument("--notes", type=Path, help="file with the finished rounds")
    told = parser.parse_args()
    faults, minutes = _number("FAULTS", 300), _number("MINUTES", 24 * 60)
    seed = _number("SEED", random.SystemRandom().randrange(1, 10**9))
    names = os.environ.get("PAIRS", "").split() or [pair.name for pair in PAIRS]
    pairs = [pair for pair in PAIRS if pair.name in names]
    if not pairs:
        accepted = ", ".join(pair.name for pair in PAIRS)
        raise CommandError(f"PAIRS={' '.join(names)}: expected some of {accepted}")
    notes = Notes(told.notes or state_folder() / "soak.json")
    chance = random.Random(seed)  # noqa: S311 (an order)
    budget = Budget(faults - notes.number, time.monotonic() + 60 * minutes)
    say(f"SEED={seed}; {notes.number} of {faults} faults are done, in {len(notes.rounds)} rounds")
    clients.make_virtual_environment()
    with cluster_for_tests.ready() as cluster:
        while budget.allows(_AROUND_SECONDS + 30):
            pair = min(pairs, key=lambda one: (notes.tried(one).total(), chance.random()))
            notes.add(_round(cluster, pair, chance, notes, budget))
    if not notes.rounds:
        raise CommandError(f"MINUTES={minutes} is too short for one fault")
    text = report(notes.rounds, f"make soak FAULTS={faults}")
    if told.report:
        before = told.report.read_text() if told.report.exists() else ""
        told.report.write_text(placed(before, text))
    print(text)
    bad = sum(one["lost"] + one["differing"] for one in totals(notes.rounds).values())
    return 1 if bad else 0


if __name__ == "__main__":
    main(command)
