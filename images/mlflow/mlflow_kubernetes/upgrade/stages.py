"""What the containers of the migration Job's pod tell each other, by files in a folder.

With backups, the pod is a chain of containers: `plan` decides, the database's own image dumps,
`keep` puts the dump into the backup target, the database's own image restores, and `finish`
migrates. A container whose file is missing has nothing to do. Without backups, one container does
all of it, and there is no such folder.
"""

import os
from pathlib import Path

from mlflow_kubernetes import contract

WORK = Path(os.environ.get(contract.WORK, "/nowhere"))
"""The folder; is not there where there is no chain."""
DUMPS = WORK / "dumps"
RECORD = WORK / "record.json"
"""The record of the upgrade under way: what Kubernetes mounted is as old as the pod."""
DONE = WORK / "done"
"""Is there if nothing is left to do."""
DUMP = WORK / "dump"
"""Is there if the databases have to be dumped."""
RESTORE = WORK / "restore"
"""Is there if the databases have to be restored."""


def mark(file: Path) -> None:
    """Tell the containers that come next; do nothing where there is no chain."""
    if WORK.is_dir():
        file.touch()
