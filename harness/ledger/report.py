"""The report of many faults, as Markdown."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TypedDict

from harness.ledger.entries import percentile

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
"""The lines around the report in a document."""


class ReadBack(TypedDict):
    """What client_scripts/read_ledger.py says of ledgers."""

    kinds: dict[str, dict[str, int]]
    """By kind of write: ``calls``, ``written``, ``lost``, ``differing`` and ``twice``."""
    examples: list[str]
    """What was not as acknowledged."""


class Tried(TypedDict):
    """The fields of a trial (trials.py) that the report reads."""

    fault: str
    metadata: float
    artifacts: float
    answers: dict[str, int]
    slowest: dict[str, float]


class Round(TypedDict):
    """What is kept of a finished round."""

    pair: str
    replicas: int
    date: str
    versions: str
    problem: str
    """Why the round ended early; empty if it did not."""
    trials: list[Tried]
    ledger: ReadBack


def totals(rounds: Sequence[Round]) -> dict[str, Counter[str]]:
    """Return the numbers of all rounds together, by kind of write."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for one in rounds:
        for kind, numbers in one["ledger"].get("kinds", {}).items():
            found[kind].update(numbers)
    return found


def placed(document: str, report: str) -> str:
    """Return a document with the report between its marks, or the report alone without marks."""
    if BEGIN not in document:
        return report
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}\n{report}{END}{rest.partition(END)[2]}"


def report(rounds: Sequence[Round], command: str) -> str:
    """Return the report of some rounds."""
    trials = [trial for one in rounds for trial in one["trials"]]
    kinds = totals(rounds)
    whole = sum(kinds.values(), Counter[str]())
    dates = sorted(one["date"] for one in rounds)
    problems = [f"- {one['pair']}: {one['problem']}" for one in rounds if one["problem"]]
    examples = [f"- {text}" for one in rounds for text in one["ledger"].get("examples", [])]
    lines = [
        f"`{command}`, {len(rounds)} rounds that ended {dates[0]} to {dates[-1]}: "
        f"{len(trials)} faults, "
        f"{whole['calls']:,} acknowledged calls that wrote {whole['written']:,} things, "
        f"**{whole['lost']} lost, {whole['differing']} differing**.",
        "",
        "| written | acknowledged calls | things | lost | differing | stored twice |",
        "|---|---|---|---|---|---|",
        *(
            f"| {kind} | {one['calls']:,} | {one['written']:,} | {one['lost']} | "
            f"{one['differing']} | {one['twice']} |"
            for kind, one in sorted(kinds.items())
        ),
        "",
        "Seconds from the end of the harm to the next acknowledged call of clients that repeat "
        "nothing (median, 95th percentile), the longest call, and what these clients got:",
        "",
        "| pair, servers | fault | times | metadata | artifacts | longest call | answers |",
        "|---|---|---|---|---|---|---|",
        *_by_fault(rounds),
        "",
        *(["Rounds that ended early:", "", *problems, ""] if problems else []),
        *(["What was not as acknowledged:", "", *examples, ""] if examples else []),
        "Versions: " + "; ".join(sorted({one["versions"] for one in rounds})) + ".",
    ]
    return "\n".join(lines) + "\n"


def _by_fault(rounds: Sequence[Round]) -> list[str]:
    grouped: dict[tuple[str, str], list[Tried]] = defaultdict(list)
    for one in rounds:
        for trial in one["trials"]:
            grouped[f"{one['pair']}, {one['replicas']}", trial["fault"]].append(trial)
    return [
        f"| {pair} | {fault} | {len(trials)} | {_two([one['metadata'] for one in trials])} | "
        f"{_two([one['artifacts'] for one in trials])} | {_longest(trials):.0f} | "
        f"{_answers(trials)} |"
        for (pair, fault), trials in sorted(grouped.items())
    ]


def _two(seconds: Sequence[float]) -> str:
    return f"{percentile(seconds, 0.5):.1f}, {percentile(seconds, 0.95):.1f}"


def _answers(trials: Sequence[Tried]) -> str:
    found: Counter[str] = Counter()
    for one in trials:
        found.update(one["answers"])
    return ", ".join(f"{answer}: {number}" for answer, number in sorted(found.items())) or "none"


def _longest(trials: Sequence[Tried]) -> float:
    return float(max(seconds for one in trials for seconds in one["slowest"].values()))
