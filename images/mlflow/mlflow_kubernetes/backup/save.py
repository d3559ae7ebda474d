"""Save the databases' dumps, the artifacts and the keys: `python -m mlflow_kubernetes.backup.save`.

The containers before this one have dumped both databases. The artifacts are copied after the dumps,
so that no row refers to an artifact that was not there to be copied.
"""

import argparse
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from mlflow_kubernetes import contract
from mlflow_kubernetes.backup import manifest, point
from mlflow_kubernetes.backup.manifest import Artifacts, Manifest, UnreadableError
from mlflow_kubernetes.backup.target import REMOVED, Copied, Target, TargetError
from mlflow_kubernetes.support.environment import fail, required, seconds

DUMPS = Path("/work/dumps")


def main() -> None:
    """Save, remove what is old enough, and print one line on what was saved."""
    parser = argparse.ArgumentParser(prog="save", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", default="30d", help="age from which on a backup is removed")
    parser.add_argument("--without-artifacts", action="store_true", help="save databases alone")
    arguments = parser.parse_args()
    try:
        keep = seconds(arguments.keep)
    except ValueError:
        fail(f"--keep {arguments.keep}: expected an age such as 30d, 12h or 1d12h")
    reason = required(contract.BACKUP_REASON)
    started, now = time.monotonic(), datetime.now(UTC)
    try:
        target = Target.from_environment()
        saved, copied = save(
            target, DUMPS, now, reason, with_artifacts=not arguments.without_artifacts
        )
        if copied.problem:
            fail(
                f"backup {saved['taken']} has the databases, and not all artifacts: "
                f"{copied.problem}"
            )
        removed = prune(target, now, keep)
    except (TargetError, UnreadableError) as error:
        fail(str(error))
    for name in removed:
        print(f"backup {name} was removed: it is older than {arguments.keep}")
    print(summary(saved, copied, time.monotonic() - started), flush=True)


def save(
    target: Target, folder: Path, now: datetime, reason: str, *, with_artifacts: bool
) -> tuple[Manifest, Copied]:
    """Make a backup of the dumps in a folder and of the artifact store.

    Where not all artifacts can be copied, the databases are saved nevertheless, and the manifest
    says why the backup is not complete.
    """
    name = manifest.stamp(now)
    manifest.write_keys(folder)
    copied = Copied(0)
    artifacts: Artifacts | None = None
    if with_artifacts:
        copied = target.copy_artifacts(name)
        artifacts = {"files": 0, "bytes": 0}
        with (folder / manifest.ARTIFACTS).open("w", errors="surrogateescape") as listed:
            for path, size in target.list_artifacts():
                listed.write(json.dumps({"path": path, "size": size}) + "\n")
                artifacts["files"] += 1
                artifacts["bytes"] += size
        if copied.problem:
            artifacts["problem"] = copied.problem
    written = manifest.describe(folder, name, reason)
    if artifacts is not None:
        written["artifacts"] = artifacts
    target.upload(folder, written)
    return written, copied


def prune(target: Target, now: datetime, keep: float) -> list[str]:
    """Remove the backups that are older than ``keep`` seconds, but the newest complete one.

    Returns:
        The names of the removed backups.
    """
    names = target.backups()
    newest = next((name for name in reversed(names) if _complete(target, name)), None)
    old = [name for name in names if _is_old(name, now, keep) and name != newest]
    for name in old:
        target.remove(name)
    for name in target.unfinished():
        if _is_old(name, now, keep):
            target.remove(name)
    # A backup needs what was removed after it.
    kept = [name for name in names if name not in old]
    for name in target.removals():
        if kept and name <= kept[0]:
            target.run("purge", f"backup:{REMOVED}/{name}")
    point.prune(target, kept, keep)
    return old


def _complete(target: Target, name: str) -> bool:
    return "problem" not in target.manifest(name).get("artifacts", {})


def _is_old(name: str, now: datetime, keep: float) -> bool:
    try:
        return (now - manifest.moment(name)).total_seconds() > keep
    except ValueError:
        return False  # a folder of somebody else


def summary(saved: Manifest, copied: Copied, took: float) -> str:
    """Return one line on what was saved, and how long that took."""
    parts = [
        f"{len(database['rows'])} tables of {name} with {sum(database['rows'].values()):,} rows"
        for name, database in saved["databases"].items()
    ]
    if artifacts := saved.get("artifacts"):
        parts.append(
            f"{artifacts['files']:,} artifacts ({_size(artifacts['bytes'])}), "
            f"{copied.files:,} of them copied now"
        )
    if manifest.BASE in saved["files"]:
        parts.append(f"a base backup ({_size(saved['files'][manifest.BASE]['size'])})")
    if manifest.KEYS in saved["files"]:
        parts.append("the keys")
    return f"saved backup {saved['taken']} in {took:.0f} s: {_listed(parts)}"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, ["; ".join(parts[:-1]), parts[-1]]))


def _size(count: int) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count = count / 1000  # type: ignore[assignment]
    return f"{count:.3g} TB"


if __name__ == "__main__":
    main()
