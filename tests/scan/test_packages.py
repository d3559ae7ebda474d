"""No package of our images has a known vulnerability, but for those that exclusions.py names.

What is known changes every day: this fails one day for what nobody changed, and that is its use.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.scan.exclusions import VULNERABILITIES

IMAGES = Path(__file__).parents[2] / "images"
# CVE-2019-10906, a way out of its sandbox: whoever does not know this knows nothing.
KNOWN = "jinja2==2.10\n"


@pytest.fixture(scope="module")
def informed(scanners: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scanners, where they can ask what is known: a mirror of PyPI may not tell."""
    known = tmp_path_factory.mktemp("known") / "requirements.txt"
    known.write_text(KNOWN)
    try:
        (package,) = audit(scanners, known)
    except AssertionError as error:
        pytest.skip(f"NOT CHECKED: pip-audit cannot ask PyPI for vulnerabilities: {error}")
    if not package.get("vulns"):
        reason = package.get("skip_reason", "no vulnerability")
        pytest.skip(f"NOT CHECKED: the package index knows none, not even of jinja2 2.10: {reason}")
    return scanners


def audit(scanners: Path, requirements: Path) -> list[dict[str, Any]]:
    """Return what pip-audit says of each package; it ends with 1 when it found something."""
    options = ["--no-deps", "--disable-pip", "--format=json", "--progress-spinner=off"]
    command = [str(scanners / "pip-audit"), f"--requirement={requirements}", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout, (done.stderr.strip().splitlines() or ["no message"])[-1]
    answer: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    return answer


@pytest.mark.parametrize("image", ["mlflow", "client"])
def test_no_package_has_a_known_vulnerability(informed: Path, image: str) -> None:
    packages = audit(informed, IMAGES / image / "constraints.txt")
    assert not [one for one in packages if "vulns" not in one], "not known to the index"
    found = {f"{one['name']} {bad['id']}" for one in packages for bad in one["vulns"]}
    assert not [one for one in found if one.split()[1] not in VULNERABILITIES]
