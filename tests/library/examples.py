"""The programs in examples/, and what each needs to run."""

import shutil
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "examples"
EXAMPLES = sorted(file.parent.name for file in FOLDER.glob("*/Pulumi.yaml"))
IN_PYTHON = sorted(file.parent.name for file in FOLDER.glob("*/__main__.py"))
NAMESPACES = {name: [name] for name in EXAMPLES} | {
    "two-trackers": ["blue-tracking", "red-tracking"]
}
"""The namespaces that each example makes. Each one's tracking server is at `<namespace>.local`."""


def copy(name: str, folder: Path) -> Path:
    """Copy one example into a new folder, as a user who begins with it, and return the copy."""
    return Path(shutil.copytree(FOLDER / name, folder / name))
