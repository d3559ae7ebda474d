"""The stack's host names in /etc/hosts: one line, marked as ours."""

from pathlib import Path

HOSTS = Path("/etc/hosts")
_MARK = "# mlflow-kubernetes, until `make down`"


def put(line: str, file: Path = HOSTS) -> None:
    """Make this the one line of ours."""
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
    # In place: a container's /etc/hosts is a bind mount, which nothing can be renamed onto. Our
    # line is the last, so that all others are written as they were, even if this is cut short.
    with file.open("r+") as stream:
        stream.write(text)
        stream.truncate()
