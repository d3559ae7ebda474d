"""Faults while clients write: nothing acknowledged may be lost, and what is left goes on."""

import re
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness import clients
from harness.ledger import entries
from harness.ledger.faults import SERVER, Fault, Target, shared_faults_of
from harness.ledger.report import ReadBack
from harness.ledger.trials import Trial, Writers, try_fault, writing
from harness.stack import Stack

# The goals of docs/faults.md hold where nothing else runs. Beside the tests of other processes, a
# server's imports alone take up to 30 s (components/tracking_server.py).
_BUSY = 6
SERVER_SECONDS = {1: 15 * _BUSY, 2: 2 * _BUSY}
"""After the end of a server, by the number of servers."""
DATABASE_SECONDS = 15 * _BUSY
STORE_SECONDS = 10 * _BUSY
"""How long a call for an artifact may take while the store is away."""
BRIEF_SECONDS = 5
# The answer to a repeated call whose first try was stored.
_STORED = "RESOURCE_ALREADY_EXISTS"
KINDS = {
    *("run", "end", "metrics", "params", "tags", "traces"),
    *("models", "versions", "aliases", "artifacts"),
}


def brief(target: Target) -> list[Fault]:
    """Return each fault once that disturbs no other stack, with a few seconds of each."""
    return shared_faults_of(target, stop=BRIEF_SECONDS, cut=BRIEF_SECONDS, full=BRIEF_SECONDS)


def of_backends(target: Target) -> list[Fault]:
    """Return those faults that are not the server's own, which are the same for all pairs."""
    own = (f"{SERVER} ", "worker ")
    return [fault for fault in brief(target) if not fault.name.startswith(own)]


def ends(target: Target) -> list[Fault]:
    """Return the end of each pod, with its notice."""
    return [fault for fault in brief(target) if fault.name.endswith(" ended")]


def assert_nothing_is_lost(
    stack: Stack,
    machine: clients.Machine,
    folder: Path,
    faults_of: Callable[[Target], Sequence[Fault]],
) -> list[Trial]:
    """Inject faults while clients write; return what each fault did."""
    target = Target.of(stack.kubectl)
    with writing(machine, folder, stack.client_env(), pause=0.05) as writers:
        trials = [try_fault(target, writers, fault, fresh=False) for fault in faults_of(target)]
        writers.stop()
        found = writers.read_back()
    for trial in trials:
        print(trial.shown())
    _assert_all_is_there(found)
    assert {kind for kind, numbers in found["kinds"].items() if numbers["calls"]} == KINDS
    # What finds no room is not repeated.
    given_up = {
        trial.fault: trial.says
        for trial in trials
        if trial.gave_up and not trial.fault.endswith(" full")
    }
    assert given_up == {}, given_up
    for trial in trials:
        _assert_recovered(target, trial)
    return trials


@contextmanager
def nothing_is_lost(stack: Stack, machine: clients.Machine, folder: Path) -> Generator[Writers]:
    """Have clients write until the block ends; read back all that was acknowledged.

    No client that repeats its calls as MLflow's client does may give one up.
    """
    with writing(machine, folder, stack.client_env(), pause=0.1) as writers:
        writers.wait_until_acknowledged(time.time())
        yield writers
        writers.wait_until_acknowledged(time.time())
        writers.stop()
        found = writers.read_back()
        gave_up = [one for one in writers.patient if one.refused not in ("", _STORED)]
    _assert_all_is_there(found)
    assert gave_up == []


def pause(writers: Writers, what: str, harm: Callable[[], object], sort: str = "metadata") -> float:
    """Return for how many seconds clients without retries got no write acknowledged.

    Args:
        writers: the clients.
        what: what happens, for the printed line.
        harm: makes it happen.
        sort: the writes that count, ``artifacts`` or ``metadata``.
    """
    began = time.time()
    harm()
    writers.wait_until_acknowledged(time.time())
    ended = time.time()
    seen = [one for one in writers.impatient if one.sort == sort]
    seconds = entries.recovery(seen, began, ended)
    refused = entries.answers(one for one in seen if one.ended >= began)
    print(f"{what}: {seconds:.1f} s without an acknowledged write, refused: {dict(refused)}")
    return seconds


def _assert_all_is_there(found: ReadBack) -> None:
    print(found)
    wrong = {
        kind: numbers
        for kind, numbers in found["kinds"].items()
        if numbers["lost"] or numbers["differing"]
    }
    assert wrong == {}, found["examples"]


def _assert_recovered(target: Target, trial: Trial) -> None:
    app = next((one for one in target.apps if trial.fault.startswith(f"{one} ")), "")
    sudden = re.search("(killed|ended)$", trial.fault)
    if app == target.database.name and sudden:
        assert trial.metadata < DATABASE_SECONDS, trial
    elif app == SERVER and sudden:
        servers = target.kubectl.json("get", "deployment", SERVER)["spec"]["replicas"]
        assert trial.metadata < SERVER_SECONDS[servers], trial
    elif app in target.stores:
        # Metadata goes on. A call for an artifact ends, and clients repeat it where that helps.
        assert not [one for one in trial.answers if one.startswith("metadata ")], trial
        refused = {one.split()[-1] for one in trial.answers}
        assert refused <= ({"507"} if trial.fault.endswith(" full") else {"503", "504"}), trial
        assert trial.slowest["artifacts"] < STORE_SECONDS, trial
