"""The record of the last upgrade: what it did, and how far it came.

The record is in a ConfigMap, so that it outlives the Job. The program reads the record after an
upgrade, the next attempt reads it after a kill, and `make rollback` reads it on the way back.
"""

import dataclasses
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflow_kubernetes import contract
from mlflow_kubernetes.upgrade import stages
from mlflow_kubernetes.upgrade.cluster import Cluster

STOPPING = "stopping"
"""The servers are being stopped; no table was touched."""
MIGRATING = "migrating"
"""The tables are being changed."""
DONE = "done"
FAILED = "failed"
"""The upgrade failed, and the former servers were started again."""
GOING_BACK = "going back"
"""The tables are being replaced by those of the dump."""
ROLLED_BACK = "rolled back"
"""The tables are those of the dump; the former servers were not started yet."""


@dataclass(frozen=True)
class Record:
    """One upgrade."""

    state: str = ""
    """One of the constants above; empty before the first upgrade."""
    job: str = ""
    """The uid of the Job that works, or has worked."""
    from_image: str = ""
    """The image of the servers that were stopped; empty if none ran."""
    to_image: str = ""
    schemas: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """The revisions before and after, by `runs` and `users`."""
    replicas: int | None = None
    """How many servers there were; None without a Deployment."""
    stopped: str = ""
    """When the servers were stopped, in UTC (ISO 8601)."""
    migrated: str = ""
    """When the tables were as the new image expects."""
    dump: str = ""
    """The name of the dump that was made before; empty if none was."""
    why: str = ""
    """Why the upgrade failed."""
    said: str = ""
    """The line with which the Job failed for good; empty if another pod of the Job may succeed."""
    kept: str = ""
    """The name of the dump that was made before the way back; empty before that."""

    @property
    def interrupted(self) -> bool:
        """Whether the upgrade neither succeeded nor was taken back."""
        return self.state in (STOPPING, MIGRATING)

    def changed(self, **changes: Any) -> "Record":
        """Return the record with other values."""
        return dataclasses.replace(self, **changes)

    def write(self, cluster: Cluster) -> "Record":
        """Keep the record in its ConfigMap, and return it."""
        content = json.dumps(dataclasses.asdict(self))
        cluster.note(contract.RECORD_KEY, content)
        if stages.WORK.is_dir():
            stages.RECORD.write_text(content)
        return self

    @classmethod
    def read(cls) -> "Record":
        """Return the record that this pod wrote, or that Kubernetes mounted: no API is asked."""
        file = Path(os.environ.get(contract.RECORD_FOLDER, "/nowhere")) / contract.RECORD_KEY
        file = stages.RECORD if stages.RECORD.exists() else file
        known = {each.name for each in dataclasses.fields(cls)}
        try:
            said: dict[str, Any] = json.loads(file.read_text())
        except FileNotFoundError:
            return cls()
        return cls(**{key: value for key, value in said.items() if key in known})


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
