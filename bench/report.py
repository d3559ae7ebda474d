"""Shows measured figures, keeps them in a file, and says which became worse than those kept."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.figures import FIGURES, Figure

KEPT = Path(__file__).parents[1] / "docs" / "bench.json"
"""The committed figures."""

Values = Mapping[Figure, Sequence[float]]
"""Each figure with the values of all its measurements."""


def table(found: Values, *, every: bool) -> list[str]:
    """Return the lines of a table of what was measured; with ``every``, of all figures."""
    head = ["| what | median | goal | each |", "|---|---|---|---|"]
    return head + [_row(each, found.get(each, ())) for each in FIGURES if found.get(each) or every]


def keep(about: Sequence[str], found: Values, path: Path = KEPT) -> None:
    """Write the figures to the file. Figures in it that were not measured now stay."""
    kept: dict[str, Any] = json.loads(path.read_text())["figures"] if path.exists() else {}
    now = {
        figure.what: {"unit": figure.unit, "each": [round(value, 3) for value in values]}
        for figure, values in found.items()
        if values
    }
    path.write_text(json.dumps({"about": [*about], "figures": {**kept, **now}}, indent=1) + "\n")


def worse(about: Sequence[str], found: Values, path: Path = KEPT) -> Iterator[str]:
    """Yield a line for each figure that became worse than the kept one by more than its noise.

    Noise is what the values of one figure differ by. So a figure is worse when its best value is
    worse than the worst one that was kept. On another machine, ratios alone are compared.
    """
    if not path.exists():
        return
    kept = json.loads(path.read_text())
    same_machine = kept["about"][0] == about[0]
    for figure, values in found.items():
        former = kept["figures"].get(figure.what)
        if not former or not values or (figure.unit and not same_machine):
            continue
        before = former["each"]
        better, worst = (values, before) if figure.more_is_better else (before, values)
        if max(better) < min(worst):
            yield (
                f"worse: {figure.what}: {_shown(figure, statistics.median(values))}, "
                f"and {_shown(figure, statistics.median(before))} before"
            )


def _shown(figure: Figure, value: float) -> str:
    return f"{value:.{1 if figure.unit else 2}f} {figure.unit}".strip()


def _row(figure: Figure, values: Sequence[float]) -> str:
    if not values:
        return f"| {figure.what} | not to be seen from here | | |"
    each = ", ".join(f"{value:.{1 if figure.unit else 2}f}" for value in values)
    median = _shown(figure, statistics.median(values))
    return f"| {figure.what} | {median} | {figure.goal_text} | {each} |"
