"""A program of an image, in the image's file system, without a container engine.

The tests in on_mysql/ and on_postgres/ import this module, where the test that starts them puts its
folder on Python's path.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Changes of the image's files are gone with the processes.
_ENTER = """set -e
mkdir "$1/files" "$1/changed" "$1/unfinished"
chmod 755 "$1" "$1/files" "$1/changed"
mount -t overlay overlay -o "lowerdir=$IMAGE_FILES,upperdir=$1/changed,workdir=$1/unfinished" \
  "$1/files"
mount --rbind /dev "$1/files/dev"
mount -t proc proc "$1/files/proc"
for folder in $SHARED; do
  mkdir -p "$1/files/$folder"
  mount --bind "$2/$folder" "$1/files/$folder"
done
files=$1/files user=$3
shift 3
# No exec: the first process of the namespace must not be the program.
chroot --userspec="$user" "$files" "$@"
"""


@dataclass(frozen=True)
class Image:
    """An image, and the folders that its programs share with each other and with the test."""

    files: str
    """Folder with the image's files."""
    folder: Path
    """Folder of the test, which has the shared folders."""
    shared: Sequence[str]
    """Paths of the shared folders, in the image and in the test's folder."""

    def begin(
        self, command: Sequence[str], environment: Mapping[str, str], *, user: int, log: Path
    ) -> subprocess.Popen[bytes]:
        """Start a program, with a view of its own processes and mounts alone.

        Args:
            command: the program and its arguments.
            environment: all variables of the program.
            user: number of the user and of the group.
            log: file that receives what the program says.
        """
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL"]
        places = (tempfile.mkdtemp(dir=self.folder), str(self.folder), f"{user}:{user}")
        with log.open("w") as said:
            return subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig=KILL", *apart, "sh", "-c", _ENTER, "sh"),
                    *(*places, *command),
                ],
                env={**environment, "IMAGE_FILES": self.files, "SHARED": " ".join(self.shared)},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )


@contextmanager
def scratch() -> Generator[Path]:
    """Have a folder in which users of images can start programs, and remove it at the end.

    pytest keeps its own folders, and these have files of other users.
    """
    folder = Path(tempfile.mkdtemp())
    os.chmod(folder, 0o755)  # noqa: S103 (others start in it)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def free_port() -> int:
    """Return a port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
