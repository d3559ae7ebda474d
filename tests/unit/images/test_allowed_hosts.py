"""Which Host headers the server answers, by what the component tells it."""

import sys
from pathlib import Path

import pytest

from components.tracking_server import allowed_hosts

sys.path.insert(0, str(Path(__file__).parents[3] / "images" / "mlflow"))

from mlflow_kubernetes.server.allowed_hosts import Allowed

PRIVATE = ["10.1.22.255", "172.16.0.1", "172.31.0.255", "192.168.49.2", "127.0.0.1"]
PRIVATE += ["[::1]", "[fd12::3]", "[::ffff:10.1.2.3]"]
LIKE_PRIVATE = ["10.evil.example", "10.1.2.3.evil", "172.16.evil", "192.168.a.b", "11.1.2.3"]
LIKE_PRIVATE += ["10.1.2", "010.1.2.3", "0x0a010203", "172.32.0.1", "[2001:db8::1]", "10.1.2.3,a"]


@pytest.mark.parametrize("port", ["", ":5000"])
@pytest.mark.parametrize(
    ("host", "answered"),
    [
        *((name, True) for name in ("ml.example", "ML.Example.", "mlflow.ns.svc", "localhost")),
        *((address, True) for address in PRIVATE),
        *((name, False) for name in LIKE_PRIVATE),
    ],
)
def test_names_that_look_like_addresses_are_refused(host: str, port: str, answered: bool) -> None:
    hosts = allowed_hosts("mlflow", "ns", "ml.example", [])
    assert (f"{host}{port}" in Allowed(",".join(hosts))) is answered


@pytest.mark.parametrize(
    ("setting", "host", "answered"),
    [
        ("100.64.0.0/10", "100.127.1.2:5000", True),
        ("100.64.0.0/10", "100.128.1.2", False),
        ("10.*", "10.1.2.3:80", True),
        ("10.*:*", "10.evil.example", False),
        ("*.corp", "ml.corp:8443", True),
        ("*.corp", "corp", False),
        ("ml.corp:*", "ml.corp:1", True),
        ("ml.corp:8443", "ml.corp:8443", True),
        ("ml.corp:8443", "ml.corp", False),
        ("[fd00::1]:*", "[fd00::1]:80", True),
        ("ml.corp", "ml.corp:", False),
        ("ml.corp", "ml.corp:80:80", False),
        ("ml.corp", "", False),
        ("ml.corp", "a b", False),
        ("*", "anything.example", True),
    ],
)
def test_what_a_setting_lets_in(setting: str, host: str, answered: bool) -> None:
    assert (host in Allowed(setting)) is answered
