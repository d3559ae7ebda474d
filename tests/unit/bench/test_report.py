"""What `make bench` says of figures that became worse than the committed ones."""

from pathlib import Path

import pytest

from bench import figures, report
from bench.figures import Figure

MACHINE = ["machine: 2 cores", "versions: of a day"]
SPEED, TIME, RATIO = figures.UPLOAD, figures.UP, figures.RATIO["minio", "up"]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "bench.json"
    report.keep(MACHINE, {SPEED: [100.0, 120.0], TIME: [20.0, 25.0], RATIO: [0.6, 0.7]}, path)
    return path


@pytest.mark.parametrize(
    ("figure", "values", "told"),
    [
        (SPEED, [90.0, 99.0], "94.5 MB/s, and 110.0 MB/s before"),
        (SPEED, [90.0, 101.0], ""),
        (SPEED, [200.0], ""),
        (TIME, [26.0], "26.0 s, and 22.5 s before"),
        (TIME, [24.0, 40.0], ""),
        (TIME, [10.0], ""),
        (RATIO, [0.5, 0.58], "0.54, and 0.65 before"),
        (RATIO, [0.9], ""),
    ],
)
def test_a_figure_is_worse_by_more_than_its_noise(
    kept: Path, figure: Figure, values: list[float], told: str
) -> None:
    lines = list(report.worse(MACHINE, {figure: values}, kept))
    assert len(lines) == bool(told)
    assert all(line.startswith(f"worse: {figure.what}: ") for line in lines)
    assert all(told in line for line in lines)


def test_ratios_alone_are_compared_with_those_of_another_machine(kept: Path) -> None:
    worse = {SPEED: [1.0], TIME: [99.0], RATIO: [0.1]}
    lines = list(report.worse(["machine: 64 cores"], worse, kept))
    assert len(lines) == 1
    assert RATIO.what in lines[0]


def test_figures_that_were_not_measured_stay(kept: Path) -> None:
    report.keep(MACHINE, {TIME: [30.0, 31.0]}, kept)
    assert list(report.worse(MACHINE, {TIME: [26.0], SPEED: [1.0]}, kept)) == [
        f"worse: {SPEED.what}: 1.0 MB/s, and 110.0 MB/s before"
    ]


def test_figures_have_different_names() -> None:
    names = [figure.what for figure in figures.FIGURES]
    assert len(set(names)) == len(names)


def test_every_figure_is_in_the_table() -> None:
    assert len(report.table({}, every=True)) == len(figures.FIGURES) + 2
    assert report.table({TIME: [20.0, 30.0]}, every=False)[2:] == [
        f"| {TIME.what} | 25.0 s |  | 20.0, 30.0 |"
    ]
