"""Run the tests that need a cluster, and what is real beside it: the last part of `make test`."""

import subprocess
import sys
import tempfile

from commands import ground
from commands._main import CLONE, main, say, stream

# These wait for a cluster half of their time, and in the other half are the quicker, the less they
# have to share.
_WAIT = ("plugins", "lab", "hdfs", "e2e")
# These compute, and take what is left over.
_COMPUTE = ("rendered", "scan")


def command() -> int:
    """Run pytest over what is named, or all; the unit tests have run before anything was built."""
    with ground.ready() as cluster:
        if chosen := sys.argv[1:]:
            return stream(_pytest(*chosen), cluster.environment)
        say(f"{' and '.join(_folders(_COMPUTE))} run beside these, and are told of at the end")
        with (
            tempfile.TemporaryFile("w+") as said,
            subprocess.Popen(
                ["nice", "-n", "19", "setpriv", "--pdeathsig=KILL", *_pytest(*_folders(_COMPUTE))],
                env=cluster.environment,
                cwd=CLONE,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                process_group=0,
            ) as computing,
        ):
            try:
                status = stream(_pytest(*_folders(_WAIT)), cluster.environment)
                status = computing.wait() or status
            finally:
                computing.kill()
            said.seek(0)
            print(said.read(), end="")
        return status


def _pytest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", *arguments]


def _folders(parts: tuple[str, ...]) -> list[str]:
    return [f"tests/{part}" for part in parts]


if __name__ == "__main__":
    main(command)
