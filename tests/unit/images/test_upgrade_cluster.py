"""What the migration Job knows without asking the Kubernetes API.

tests/e2e/support/pod_scripts/upgrade_attempts.py runs whole upgrades beside such a server.
"""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "images" / "mlflow"))

from mlflow_kubernetes import contract
from mlflow_kubernetes.upgrade.cluster import Cluster
from mlflow_kubernetes.upgrade.record import MIGRATING, Record


def test_a_pod_without_a_token_has_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(contract.API_FOLDER, str(tmp_path))
    assert Cluster.of_pod() is None


def test_a_record_is_read_where_kubernetes_mounts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(contract.RECORD_FOLDER, str(tmp_path))
    assert Record.read() == Record()
    # A key of a newer release is passed over.
    content = {"state": MIGRATING, "job": "1", "replicas": 2, "of a newer release": 1}
    (tmp_path / contract.RECORD_KEY).write_text(json.dumps(content))
    found = Record.read()
    assert found == Record(state=MIGRATING, job="1", replicas=2)
    assert found.interrupted
    assert not found.changed(state="done").interrupted
