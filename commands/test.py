"""Run the tests that need a cluster, and what is real beside it: the last part of `make test`."""

import subprocess
import sys
import tempfile

from commands import ground
from commands._main import CLONE, main, say, stream

# Tests in these folders wait for a cluster most of the time, so that several run at once.
_WAITING = ("e2e", "hdfs", "lab", "plugins")
# Tests in these folders compute, and take the processor's time that is left over.
_COMPUTING = ("rendered", "scan")
_IN_THE_BACKGROUND = ("nice", "-n", "19", "setpriv", "--pdeathsig=KILL")
# Each test is named when it ends, or the run would show dots alone for half an hour.
_AT_ONCE = ("--numprocesses=3", "--dist=loadscope", "--no-loadscope-reorder", "--verbose")


def command() -> int:
    """Run pytest over what the arguments name, or over all but the unit tests.

    Returns:
        The exit status of pytest.
    """
    with ground.ready() as cluster:
        if chosen := sys.argv[1:]:
            return stream(_pytest(*_AT_ONCE, *chosen), cluster.environment)
        say(f"{' and '.join(_folders(_COMPUTING))} run beside these, and are printed at the end")
        with (
            tempfile.TemporaryFile("w+") as output,
            subprocess.Popen(
                [*_IN_THE_BACKGROUND, *_pytest(*_folders(_COMPUTING))],
                env=cluster.environment,
                cwd=CLONE,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            ) as computing,
        ):
            try:
                status = stream(_pytest(*_AT_ONCE, *_folders(_WAITING)), cluster.environment)
                status = computing.wait() or status
            finally:
                computing.kill()
            output.seek(0)
            print(output.read(), end="")
        return status


def _pytest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", *arguments]


def _folders(parts: tuple[str, ...]) -> list[str]:
    return [f"tests/{part}" for part in parts]


if __name__ == "__main__":
    main(command)
