"""The programs that the lab puts on PATH."""

from pathlib import Path

import lab


def test_a_program_put_twice_leaves_nothing_beside_it(tmp_path: Path) -> None:
    program = tmp_path / "built"
    program.write_text("#!/bin/sh\n")
    target = tmp_path / "bin" / "pulumi"
    for _ in range(2):
        lab._place(target, program=program)
    assert [one.name for one in target.parent.iterdir()] == ["pulumi"]
    assert target.samefile(program)
