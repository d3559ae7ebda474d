"""How every command starts, speaks to its user, runs a program and fails: in one line."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_LOOK_SECONDS = 3

CLONE = Path(__file__).resolve().parents[2]


class CommandError(Exception):
    """A failure whose message is what the user reads, and all of it."""


def say(line: str) -> None:
    """Tell the user something, away from output that a shell may evaluate."""
    print(line, file=sys.stderr, flush=True)


def main(command: Callable[[], int | None]) -> None:
    """Run a command and leave with its exit status."""
    # A closed terminal, a `kill` and Ctrl-C are one wish: stop, and leave things in order.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        status = command() or 0
    except CommandError as error:
        say(f"error: {error}")
        status = 1
    except KeyboardInterrupt:
        say("stopped; run the same command again to go on")
        status = 130
    except OSError as error:
        say(f"error: {error}")
        status = 1
    sys.exit(status)


def stream(
    command: Sequence[str],
    environment: Mapping[str, str],
    hopeless: Callable[[], bool] = lambda: False,
) -> int:
    """Run a program that the user watches, and pass an interruption on to it.

    It is interrupted once as well when it is ``hopeless``, which is asked every few seconds.

    The program gets a process group of its own: a terminal sends Ctrl-C to a whole group, and
    Pulumi takes a second SIGINT, ours after the terminal's, as the order to stop without saving.
    """
    interrupted = given_up = False
    with subprocess.Popen(
        command, env=environment, cwd=CLONE, stdin=subprocess.DEVNULL, process_group=0
    ) as process:
        while True:
            try:
                try:
                    status = process.wait(_LOOK_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if not (interrupted or given_up) and hopeless():
                        given_up = True
                        process.send_signal(signal.SIGINT)
            except KeyboardInterrupt:
                # The first one after ours is the same wish.
                if interrupted or not given_up:
                    process.send_signal(signal.SIGINT)
                interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    return status


def capture(
    command: Sequence[str], environment: Mapping[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program for its answer; it reads ``stdin``."""
    return subprocess.run(
        command,
        env=environment,
        cwd=CLONE,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def last_line(answer: subprocess.CompletedProcess[str]) -> str:
    """Return the line in which a failed program says why."""
    lines = (answer.stderr.strip() or answer.stdout.strip()).splitlines()
    return lines[-1] if lines else f"exit status {answer.returncode}, without a word"


def state_folder() -> Path:
    """Return the folder that holds Pulumi's state and its passphrase, made for this user only."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(base).absolute() / "mlflow-kubernetes"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
