"""How every command starts, prints to its user, runs a program, and fails in one line."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_LOOK_SECONDS = 3

CLONE = Path(__file__).resolve().parents[2]


class CommandError(Exception):
    """A failure whose message is all that the user reads."""


def say(line: str) -> None:
    """Print a line for the user to standard error: a shell may evaluate standard output."""
    print(line, file=sys.stderr, flush=True)


def main(command: Callable[[], int | None]) -> None:
    """Run a command and leave with its exit status."""
    # A closed terminal and a `kill` end the command as Ctrl-C does.
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
    """Run a program whose output the user sees; return its exit status.

    An interruption is passed on to the program. The program gets a process group of its own,
    because a terminal sends Ctrl-C to a whole group, and Pulumi stops without saving at a second
    SIGINT.

    Args:
        command: the program and its arguments.
        environment: the variables of the program.
        hopeless: is called every few seconds. If it returns true, the program is interrupted once.

    Raises:
        KeyboardInterrupt: when the program has ended after an interruption by the user.
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
                # After our own SIGINT, the user's first one must not become a second SIGINT.
                if interrupted or not given_up:
                    process.send_signal(signal.SIGINT)
                interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    return status


def capture(
    command: Sequence[str], environment: Mapping[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program, and return its output and exit status."""
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
    """Return the last line that a failed program printed."""
    lines = (answer.stderr.strip() or answer.stdout.strip()).splitlines()
    return lines[-1] if lines else f"exit status {answer.returncode}, without a word"


def state_folder() -> Path:
    """Return the folder with Pulumi's state and its passphrase, which only this user can read."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(base).absolute() / "mlflow-kubernetes"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
