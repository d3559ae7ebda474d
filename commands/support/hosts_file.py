"""The stack's host names in /etc/hosts: one line with a mark."""

from pathlib import Path

HOSTS = Path("/etc/hosts")
_MARK = "# mlflow-kubernetes, until `make down`"


def put(line: str, file: Path = HOSTS) -> None:
    """Write this line in the place of the former one."""
    _write(file, [*_others(file), f"{line}  {_MARK}"])


def remove(file: Path = HOSTS) -> None:
    """Leave the file as it was before `put`."""
    _write(file, _others(file))


def _others(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if not line.endswith(_MARK)]


def _write(file: Path, lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    if text == file.read_text():
        return
    # Written in place, because no file can be renamed onto a container's /etc/hosts (a bind mount).
    # Our line is the last, so a write that is cut short leaves all other lines as they were.
    with file.open("r+") as stream:
        stream.write(text)
        stream.truncate()
