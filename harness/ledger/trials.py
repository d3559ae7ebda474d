"""Clients that write to a ledger while one fault after the other is injected."""

import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from harness import clients
from harness.kubectl import restarts
from harness.ledger import entries as entries_
from harness.ledger.entries import ARTIFACTS, Entry, Tail
from harness.ledger.faults import Fault, Target
from harness.ledger.report import ReadBack, Tried
from harness.programs import ProgramError
from harness.waiting import wait_until

HEALED_SECONDS = 240
"""How long a stack may take until all of it is whole again after a fault."""
# The API server shows the end of a pod with a delay.
_SETTLE_SECONDS = 3
_READ_SECONDS = 900
# The answer to a repeated call whose first try was stored.
_STORED = "RESOURCE_ALREADY_EXISTS"


@dataclass(frozen=True)
class Trial:
    """What one fault did."""

    fault: str
    began: float
    """Seconds since 1970, as the next ones."""
    ended: float
    """When the harm was over."""
    healed: float
    """When all pods were ready and clients wrote both metadata and artifacts again."""
    metadata: float
    """Seconds after the harm until metadata was acknowledged again, for clients without retries."""
    artifacts: float
    """The same for artifacts."""
    acknowledged: int
    """Calls that were acknowledged between ``began`` and ``healed``."""
    answers: dict[str, int]
    """What clients without retries got in place of an acknowledgement."""
    slowest: dict[str, float]
    """Seconds of the longest call of such a client, by ``metadata`` and ``artifacts``."""
    gave_up: int
    """Calls for which a client with MLflow's own retries gave up. A call that had begun before the
    former fault was over does not count: the client repeats for four minutes, and may have met
    several faults."""
    says: dict[str, str]
    """For each answer that these clients got in the end, the words of one."""

    def as_json(self) -> Tried:
        """Return the trial as it is kept in a file."""
        return cast(Tried, asdict(self))

    def shown(self) -> str:
        """Return the trial as one line."""
        answers = ", ".join(f"{what}: {number}" for what, number in sorted(self.answers.items()))
        return (
            f"{self.fault}: metadata after {self.metadata:.1f} s, artifacts after "
            f"{self.artifacts:.1f} s, longest call {max(self.slowest.values()):.0f} s, "
            f"refused: {answers or 'none'}"
        )


class Writers:
    """Two processes of clients: one without retries, one with those of MLflow's client."""

    def __init__(
        self,
        machine: clients.Machine,
        folder: Path,
        client_env: Mapping[str, str],
        *,
        each: int = 4,
        pause: float = 0.02,
    ) -> None:
        self._machine = machine
        self._client_env = client_env
        self._processes: list[subprocess.Popen[str]] = []
        self._tails: dict[str, Tail] = {}
        for name, number, retries in (("impatient", each, ["0"]), ("patient", 2, [])):
            file = folder / f"{name}.jsonl"
            file.touch()
            self._tails[name] = Tail(file)
            arguments = [str(file), name, str(number), str(pause), *retries]
            self._processes.append(
                machine.start("write_ledger.py", *arguments, client_env=client_env)
            )

    @property
    def impatient(self) -> list[Entry]:
        """The calls of the clients without retries."""
        return self._tails["impatient"].follow()

    @property
    def patient(self) -> list[Entry]:
        """The calls of the clients with retries."""
        return self._tails["patient"].follow()

    def wait_until_acknowledged(self, since: float, seconds: float = HEALED_SECONDS) -> None:
        """Wait until metadata and an artifact that were sent later are acknowledged."""

        def acknowledged() -> bool:
            if any(process.poll() is not None for process in self._processes):
                raise ProgramError("a process of clients has ended")
            later = [one for one in self.impatient[-500:] if one.began >= since and not one.refused]
            return {one.sort for one in later} == {ARTIFACTS, "metadata"}

        wait_until(acknowledged, seconds, "metadata and artifacts are written", every=0.2)

    def stop(self) -> None:
        """Have all clients end after the calls that are under way."""
        for process in self._processes:
            if process.stdin and process.poll() is None:
                process.stdin.write("stop\n")
                process.stdin.close()
        for process in self._processes:
            process.wait(timeout=300)

    def kill(self) -> None:
        """End the clients at once."""
        for process in self._processes:
            process.kill()
            process.wait()

    def read_back(self) -> ReadBack:
        """Return what read_ledger.py says of all ledgers."""
        files = [str(tail.file) for tail in self._tails.values()]
        found: ReadBack = self._machine.run(
            "read_ledger.py", *files, client_env=self._client_env, seconds=_READ_SECONDS
        )
        return found


@contextmanager
def writing(
    machine: clients.Machine, folder: Path, client_env: Mapping[str, str], *, pause: float = 0.02
) -> Generator[Writers]:
    """Have clients write until the block ends.

    Args:
        machine: where the clients run.
        folder: receives the ledgers.
        client_env: the environment of the clients.
        pause: how many seconds a client waits after each call.
    """
    writers = Writers(machine, folder, client_env, pause=pause)
    try:
        yield writers
    finally:
        writers.kill()


def try_fault(target: Target, writers: Writers, fault: Fault, *, fresh: bool) -> Trial:
    """Inject a fault while clients write, and return what it did.

    Args:
        target: the stack.
        writers: the clients.
        fault: the fault.
        fresh: whether pods whose containers were restarted are replaced before, which takes time.

    Raises:
        AssertionError: if the stack is not whole again after ``HEALED_SECONDS``.
    """
    since = time.time()
    _wait_until_whole(target, writers)
    if fresh:
        _renew(target)
    with fault.around(target):
        _wait_until_whole(target, writers)
        began = time.time()
        fault.harm(target)
        ended = time.time()
        time.sleep(_SETTLE_SECONDS)
        _wait_until_whole(target, writers)
        healed = time.time()
    return _trial(fault.name, writers, since=since, began=began, ended=ended, healed=healed)


def _renew(target: Target) -> None:
    """Replace the pods whose containers were restarted.

    Kubernetes waits longer before each restart of one container within ten minutes. A fault would
    pay for the faults before.
    """
    worn = [
        pod["metadata"]["name"] for app in target.apps for pod in target.pods(app) if restarts(pod)
    ]
    if worn:
        target.kubectl("delete", "pods", *worn, seconds=150)
        time.sleep(_SETTLE_SECONDS)


def _wait_until_whole(target: Target, writers: Writers) -> None:
    wait_until(target.is_whole, HEALED_SECONDS, "all pods are ready")
    writers.wait_until_acknowledged(time.time())


def _trial(
    fault: str, writers: Writers, *, since: float, began: float, ended: float, healed: float
) -> Trial:
    def during(all_of_them: list[Entry]) -> list[Entry]:
        return [one for one in all_of_them if one.ended >= began and one.began <= healed]

    impatient, patient = during(writers.impatient), during(writers.patient)
    sorts = {
        sort: [one for one in impatient if one.sort == sort] for sort in ("metadata", ARTIFACTS)
    }
    given_up = [one for one in patient if one.refused and one.began >= since]
    recovered = {
        sort: round(entries_.recovery(found, ended, healed), 2) for sort, found in sorts.items()
    }
    return Trial(
        fault=fault,
        began=began,
        ended=ended,
        healed=healed,
        metadata=recovered["metadata"],
        artifacts=recovered[ARTIFACTS],
        acknowledged=sum(not one.refused for one in impatient + patient),
        answers=dict(entries_.answers(impatient)),
        slowest={sort: round(entries_.slowest(found), 1) for sort, found in sorts.items()},
        gave_up=sum(one.refused != _STORED for one in given_up),
        says={f"{one.sort} {one.refused}": one.said for one in given_up},
    )
