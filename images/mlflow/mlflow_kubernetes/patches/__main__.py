"""Compare the parts of other packages that this package replaces or relies on with the registry.

`python -m mlflow_kubernetes.patches` prints each part that differs, with what it is for.
`python -m mlflow_kubernetes.patches --note` writes the digests and the versions of the installed
packages into registry.py: for a developer who has read what changed.
"""

import logging
import re
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

# MLflow's warnings and log are for its developers.
warnings.simplefilter("ignore")
logging.disable(logging.WARNING)

from mlflow_kubernetes.patches import registry  # noqa: E402 (after the filter)


def main() -> int:
    """Print or note what differs.

    Returns:
        The exit status: 1 if a part differs and was not noted.
    """
    count = 0
    changed: dict[str, str] = {}
    for module, patch in registry.PATCHES.items():
        targets = {**patch.replaces, **patch.uses}
        count += len(targets)
        found = {target: registry.digest_of(target) for target in targets}
        differs = {target: new for target, new in found.items() if new != targets[target]}
        if differs:
            print(f"{module}: {patch.why}\n  upstream: {patch.upstream}; test: {patch.test}")
        for target, digest in differs.items():
            kind = "replaced" if target in patch.replaces else "used"
            print(f"  {kind}: {target}: {targets[target] or 'new'} -> {digest}")
        changed |= differs
    print(f"{count} parts, {len(changed)} of them differ")
    if sys.argv[1:] == ["--note"]:
        _note(changed)
        return 0
    return int(bool(changed))


def _note(changed: dict[str, str]) -> None:
    file = Path(registry.__file__)
    text = file.read_text()
    for package in registry.MADE_FOR:
        text = re.sub(rf'("{package}"): "[^"]*"', rf'\1: "{version(package)}"', text)
    for target, digest in changed.items():
        text = re.sub(rf'("{re.escape(target)}"): "[^"]*"', rf'\1: "{digest}"', text)
    file.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
