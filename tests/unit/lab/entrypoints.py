"""An image's files with programs that only note how they are called, and its entrypoint on them."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path


def image_of(folder: Path, programs: Sequence[str], played: str) -> Path:
    """Make the programs of an image, each the script ``played``, and return the folder."""
    (folder / "bin").mkdir()
    for name in programs:
        (folder / "bin" / name).write_text(played)
        (folder / "bin" / name).chmod(0o755)
    (folder / "calls").touch()
    return folder


def start(
    entrypoint: Path, image: Path, command: Sequence[str], variables: dict[str, str]
) -> tuple[int, str, list[str]]:
    """Return the code, the last line of the errors, and the lines that the programs noted."""
    environment = {
        "PATH": f"{image / 'bin'}:{os.environ['PATH']}",
        "CALLS": str(image / "calls"),
        **variables,
    }
    done = subprocess.run(
        [entrypoint, *command], env=environment, capture_output=True, text=True, check=False
    )
    calls = (image / "calls").read_text().splitlines()
    return done.returncode, (done.stderr.splitlines() or [""])[-1], calls
