"""One NameNode and one DataNode on loopback, run in Hadoop's image as a pod would run them."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

MOST_SECONDS = 600
"""What takes longer hangs. A server took 120 s to start, beside other tests on two slow cores."""
# That it ends with whoever started it, a process forgets when it changes its user: not before.
_ENTER = """\
hostname localhost
touch "$1/etc/hosts"
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
mount -t proc proc "$1/proc"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
mount --bind /dev "$1/dev"
mount --bind "$2" "$1/data"
mount --bind "$2/hosts" "$1/etc/hosts"
root=$1
shift 2
exec chroot "$root" setpriv --reuid=1000 --regid=1000 --clear-groups --pdeathsig=KILL \
  env -i HADOOP_HOME=/opt/hadoop HADOOP_LOG_DIR=/tmp \
  JAVA_HOME=/opt/java HADOOP_HEAPSIZE_MAX=256 PATH=/usr/bin:/bin \
  HADOOP_OPTS=-Djava.security.krb5.conf=/data/krb5.conf \
  /opt/hadoop/bin/hdfs --config /data/conf "$@"
"""


class Hdfs:
    """An HDFS whose data, settings and logs are in one folder."""

    def __init__(self, image: Path, folder: Path, more: Mapping[str, str] | None = None) -> None:
        self._image, self._folder = image, folder
        self._ports = [free_port() for _ in range(5)]
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.url = f"hdfs://127.0.0.1:{self._ports[0]}"
        self.conf = folder / "conf"
        for inside in ("conf", "names", "blocks"):
            (folder / inside).mkdir()
        (folder / "hosts").write_text("127.0.0.1 localhost\n")
        self.write_settings("core-site.xml", {"fs.defaultFS": self.url})
        name_http, data, data_http, data_ipc = self._ports[1:]
        self.write_settings(
            "hdfs-site.xml",
            {
                "dfs.blocksize": str(8 * 1024 * 1024),  # so that files of a test have several
                "dfs.datanode.address": f"127.0.0.1:{data}",
                "dfs.datanode.data.dir": "/data/blocks",
                "dfs.datanode.hostname": "127.0.0.1",
                "dfs.datanode.http.address": f"127.0.0.1:{data_http}",
                "dfs.datanode.ipc.address": f"127.0.0.1:{data_ipc}",
                "dfs.namenode.http-address": f"127.0.0.1:{name_http}",
                "dfs.namenode.name.dir": "/data/names",
                "dfs.namenode.safemode.extension": "0",
                "dfs.replication": "1",
                **(more or {}),
            },
        )
        subprocess.run(["chown", "--recursive", "1000:1000", str(folder)], check=True)

    def write_settings(self, name: str, properties: dict[str, str]) -> None:
        """Write a file of Hadoop's configuration."""
        one = "<property><name>{}</name><value>{}</value></property>\n"
        lines = "".join(one.format(*pair) for pair in properties.items())
        (self.conf / name).write_text(f"<configuration>\n{lines}</configuration>\n")

    def add_file(self, name: str, content: bytes) -> None:
        """Write a file that only the daemons may read."""
        path = self._folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        os.chown(path, 1000, 1000)

    def start(self) -> None:
        """Format, start both, and wait until files can be written."""
        self.run("namenode", "-format", "-nonInteractive")
        for daemon in ("namenode", "datanode"):
            self.start_one(daemon)
        self.wait_until_ready()

    def run(self, *arguments: str) -> str:
        """Run one of HDFS's own commands, as its superuser."""
        done = subprocess.run(
            self._command(*arguments),
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start_one(self, daemon: str) -> None:
        """Start a daemon."""
        with (self._folder / f"{daemon}.log").open("ab") as log:
            self._daemons[daemon] = subprocess.Popen(
                self._command(daemon), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def signal(self, daemon: str, number: signal.Signals) -> None:
        """Send a signal to a daemon, and wait where it cannot survive it."""
        self._daemons[daemon].send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._daemons.pop(daemon).wait(30)

    def wait_until_ready(self) -> None:
        """Wait until a DataNode is known, and safe mode over."""
        bean = "Hadoop:service=NameNode,name=FSNamesystemState"
        address = f"http://127.0.0.1:{self._ports[1]}/jmx?qry={bean}"

        def ready() -> bool:
            for name, daemon in self._daemons.items():
                log = (self._folder / f"{name}.log").read_text()
                assert daemon.poll() is None, f"{name} ended:\n{log[-2000:]}"
            try:
                with urllib.request.urlopen(address, timeout=5) as answer:
                    state = json.load(answer)["beans"][0]
            except (OSError, IndexError):
                return False
            return bool(state["FSState"] == "Operational" and state["NumLiveDataNodes"])

        wait_until(ready)

    def stop(self) -> None:
        """End what runs."""
        for daemon in list(self._daemons):
            self.signal(daemon, signal.SIGKILL)

    def _command(self, *arguments: str) -> list[str]:
        enter = ["unshare", "--mount", "--uts", "bash", "-ec", _ENTER, "enter"]
        return [*enter, str(self._image), str(self._folder), *arguments]


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for something that is about to become true."""
    deadline = time.monotonic() + MOST_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"not so after {MOST_SECONDS} s: {true}"
        time.sleep(0.2)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
