"""One nginx of our own: in a folder of its own, tested before every reload, ended with us."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from lab.progress import LabError

# Debian's, and by its full name: a user's PATH need not have sbin.
PROGRAM = Path("/usr/sbin/nginx")
# Without time, process and place: the same fault must read the same each time it is met.
_FATAL = re.compile(r"\[emerg\] (?:[0-9]+#[0-9]+: )?(.*?)(?: in /.*)?$")


class Nginx:
    """An nginx whose every file is below one folder, which it shares with nobody."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix.resolve()
        self._process: subprocess.Popen[bytes] | None = None
        for folder in ("", "certificates", "logs", "temporary"):
            (self.prefix / folder).mkdir(mode=0o700, parents=True, exist_ok=True)

    def test(self, text: str) -> str | None:
        """Return why nginx would refuse this configuration, or None when it takes it."""
        (self.prefix / "candidate.conf").write_text(text)
        command = self._command("candidate.conf", "-t", "-q")
        done = subprocess.run(
            command, cwd=self.prefix, capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode == 0:
            return None
        lines = done.stderr.splitlines() or ["nginx gave no reason"]
        fatal = (found[1] for line in lines if (found := _FATAL.search(line)))
        return next(fatal, lines[-1])

    def serve(self, text: str) -> None:
        """Serve a configuration that passed the test; return when new connections get it."""
        replacement = self.prefix / "nginx.conf.new"
        replacement.write_text(text)
        replacement.replace(self.prefix / "nginx.conf")
        if self._process is None or self._process.poll() is not None:
            self._start()
            return
        before = self._workers()
        self._process.send_signal(signal.SIGHUP)
        if not self._wait(lambda: bool(now := self._workers()) and not now & before):
            raise LabError("nginx keeps its old configuration")

    def ensure_running(self) -> bool:
        """Start nginx again if it died; return whether it had."""
        if self._process is None or self._process.poll() is None:
            return False
        self._start()
        return True

    def stop(self) -> None:
        """End nginx, and what a killed predecessor of ours may have left."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)
            self._process = None
        self._end_leftovers()

    def _start(self) -> None:
        self.stop()
        log = self.prefix / "logs" / "access.log"
        if log.exists():
            log.replace(log.with_suffix(".log.old"))
        # pdeathsig: an nginx that outlived us would hold the address with an old configuration.
        command = ["setpriv", "--pdeathsig", "TERM", *self._command("nginx.conf")]
        # The working directory marks nginx and its workers as ours.
        self._process = subprocess.Popen(
            command, cwd=self.prefix, stdin=subprocess.DEVNULL, start_new_session=True
        )
        if not self._wait(lambda: bool(self._workers())):
            raise LabError(f"nginx does not start from {self.prefix / 'nginx.conf'}")

    def _command(self, configuration: str, *options: str) -> list[str]:
        prefix = f"{self.prefix}/"
        return [str(PROGRAM), "-p", prefix, "-c", configuration, "-e", "stderr", *options]

    def _wait(self, done: Callable[[], bool], seconds: float = 15) -> bool:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _workers(self) -> set[int]:
        """Return the workers that take new connections; a retiring one has another title."""
        return {pid for pid in self._processes() if _title(pid) == "nginx: worker process"}

    def _processes(self) -> set[int]:
        """Return the processes that run nginx in our folder."""
        found = set()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and self._is_ours(entry):
                    found.add(int(entry.name))
        return found

    def _is_ours(self, entry: Path) -> bool:
        if Path(os.readlink(entry / "cwd")) != self.prefix:
            return False
        # A package upgrade makes it "/usr/sbin/nginx (deleted)".
        return Path(os.readlink(entry / "exe")).name.split()[0] == PROGRAM.name

    def _end_leftovers(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self._processes():
                with contextlib.suppress(OSError):
                    # Asked again once we hold it: a number may have been given to another process.
                    handle = os.pidfd_open(pid)
                    try:
                        if self._is_ours(Path("/proc") / str(pid)):
                            signal.pidfd_send_signal(handle, number)
                    finally:
                        os.close(handle)
            if self._wait(lambda: not self._processes()):
                return


def _title(pid: int) -> str:
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return title.rstrip(b"\0 ").decode(errors="replace")
