"""Notes the objects of every variant of the stack, so that no change of them goes unseen.

`python -m tests.renders` prints all of it as YAML: compare the output of two checkouts to see what
a change did. With `--note` it writes the digests that tests/unit/test_renders.py compares.
"""

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from tests.variants import VARIANTS, Variant, plain

NOTED = Path(__file__).with_suffix(".json")
"""The digest of each variant's render, by the variant's name."""


def rendered(variant: Variant) -> dict[str, Any]:
    """Return each resource's type and inputs by its name, and what the stack exports."""
    # A certificate of `tls: generated` is made anew in each year.
    with mock.patch("wiring.this_year", return_value=2026):
        recorded = variant.render()
    asked = {
        name: {"type": token, "inputs": plain(inputs)}
        for name, (token, inputs) in recorded.resources.items()
    }
    exported = {"values": recorded.exports, "secret": sorted(recorded.secret_exports)}
    return {"resources": asked, "exports": exported}


def digest(variant: Variant) -> str:
    """Return what changes when anything does that a variant asks for."""
    # The tags of our own images change with what is in them.
    text = re.sub(
        r"(mlflow-kubernetes/\w+):[\w.-]+", r"\1", json.dumps(rendered(variant), sort_keys=True)
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def main() -> None:
    """Print every render, or note their digests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--note", action="store_true", help="write the digests")
    if parser.parse_args().note:
        digests = {str(variant): digest(variant) for variant in VARIANTS}
        NOTED.write_text(json.dumps(digests, indent=2) + "\n")
        return
    for variant in VARIANTS:
        yaml.safe_dump({str(variant): rendered(variant)}, sys.stdout, sort_keys=True)


if __name__ == "__main__":
    main()
