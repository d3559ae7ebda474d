"""No package in the images has a known vulnerability, except those that exclusions.py names.

What is known changes every day: this fails one day for what nobody changed, and that is its use.
"""

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


def audit(scanners: Path, requirements: Path, *of: str) -> list[dict[str, Any]]:
    """Return what pip-audit says of each package; it ends with 1 when it found something."""
    options = ["--no-deps", "--disable-pip", "--format=json", "--progress-spinner=off", *of]
    command = [str(scanners / "pip-audit"), f"--requirement={requirements}", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.stdout, (done.stderr.strip().splitlines() or ["no message"])[-1]
    answer: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    return answer


def unexcused(packages: list[dict[str, Any]], excused: Mapping[str, str]) -> list[str]:
    """Return the packages with a vulnerability that has no written reason, and its id."""
    assert not [one for one in packages if "vulns" not in one], "not known to the index"
    return [
        f"{one['name']} {bad['id']}"
        for one in packages
        for bad in one["vulns"]
        if excused.keys().isdisjoint({bad["id"], *bad["aliases"]})
    ]


@pytest.mark.parametrize("image", ["mlflow", "client", "patroni"])
def test_no_package_has_a_known_vulnerability(informed: Path, image: str) -> None:
    packages = audit(informed, IMAGES / image / "constraints.txt")
    assert unexcused(packages, VULNERABILITIES) == []


class Database(BaseHTTPRequestHandler):
    """A database of vulnerabilities, by OSV's protocol, that knows one: in every Flask."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]
        bad = {"id": "PYSEC-1", "aliases": ["CVE-1"], "affected": [{"package": asked}]}
        answer = json.dumps({"vulns": [bad]} if asked["name"] == "flask" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def database() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Database)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_vulnerability_without_a_reason_is_found(scanners: Path, database: str) -> None:
    """Also where the package index knows none: another database is asked of the same packages."""
    of = ("--vulnerability-service=osv", f"--osv-url={database}")
    packages = audit(scanners, IMAGES / "mlflow" / "constraints.txt", *of)
    assert unexcused(packages, VULNERABILITIES) == ["flask PYSEC-1"]
    for name in ("PYSEC-1", "CVE-1"):
        assert unexcused(packages, {name: "of the test's own"}) == []
