"""Run the tests that need a cluster or take long: the last part of `make test`."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping

from commands.support import cluster_for_tests
from commands.support.console import CLONE, capture, main, say, stream

# Tests in these folders wait for a cluster most of the time, so that several run at once.
_WAITING = ("e2e", "hdfs", "lab", "library", "plugins", "server")
# Tests in these folders compute, and take the processor's time that is left over.
_COMPUTING = ("rendered", "scan")
# The kernel shares the processor among sessions first, and compares niceness only within a session
# (sched(7), autogroups). So these tests get a session of their own with a small share.
_SMALL_SHARE = '{ echo 19 > /proc/self/autogroup; } 2> /dev/null; exec "$@"'
_IN_THE_BACKGROUND = (
    *("nice", "-n", "19", "setpriv", "--pdeathsig=KILL"),
    *("sh", "-c", _SMALL_SHARE, "sh"),
)
# On two cores, more processes at once take longer: each waits less than half of its time.
_MOST_AT_ONCE = 3
# CPU requests of a test's stack: database, NameNode, DataNode, a Job, and two servers in an update.
_CPU_OF_A_STACK = 0.6
# The namespaces of the tests' stacks and clients begin with this text.
_OF_TESTS = "mlflow-e2e"


def command() -> int:
    """Run pytest with the arguments, or over all folders except the unit tests.

    Returns:
        The exit status of pytest.
    """
    with cluster_for_tests.ready() as cluster:
        chosen = sys.argv[1:]
        if not chosen:
            _remove_leftovers(cluster.environment)
        parallel = _parallel(cluster.environment)
        if chosen:
            return stream(_pytest(*parallel, *chosen), cluster.environment)
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
                start_new_session=True,
            ) as computing,
        ):
            try:
                status = stream(_pytest(*parallel, *_folders(_WAITING)), cluster.environment)
                status = computing.wait() or status
            finally:
                computing.kill()
            output.seek(0)
            print(output.read(), end="")
        return status


def _remove_leftovers(environment: Mapping[str, str]) -> None:
    """Delete the namespaces that a killed run left: their pods take the room of tests."""
    listed = capture(["kubectl", "get", "namespaces", "--output=json"], environment).stdout
    names = [one["metadata"]["name"] for one in json.loads(listed)["items"]]
    if left := [name for name in names if name.startswith(_OF_TESTS)]:
        say(f"deleting the namespaces that killed tests left: {', '.join(left)}")
        stream(["kubectl", "delete", "namespace", "--timeout=180s", *left], environment)


def _parallel(environment: Mapping[str, str]) -> list[str]:
    """Return the arguments by which pytest runs as many tests at once as fit into the cluster.

    A pod that fits on no node waits until another test ends, and its own test fails meanwhile. A
    user's stack in the cluster takes the room of one test.
    """
    get = ["kubectl", "get", "--output=json"]
    nodes = json.loads(capture([*get, "nodes"], environment).stdout)["items"]
    pods = json.loads(capture([*get, "pods", "--all-namespaces"], environment).stdout)["items"]
    room = sum(_cpus(node["status"]["allocatable"]["cpu"]) for node in nodes)
    for pod in pods:
        if pod["status"].get("phase") not in ("Succeeded", "Failed"):
            asked = [one["resources"].get("requests", {}) for one in pod["spec"]["containers"]]
            room -= sum(_cpus(one.get("cpu", "0")) for one in asked)
    number = max(1, min(_MOST_AT_ONCE, int(room / _CPU_OF_A_STACK)))
    # With --verbose, pytest names each test at its end. Otherwise it prints dots for half an hour.
    return [f"--numprocesses={number}", "--dist=loadscope", "--no-loadscope-reorder", "--verbose"]


def _cpus(quantity: str) -> float:
    return int(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def _pytest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", *arguments]


def _folders(parts: tuple[str, ...]) -> list[str]:
    return [f"tests/{part}" for part in parts]


if __name__ == "__main__":
    main(command)
