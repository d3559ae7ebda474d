"""How the server starts, and that it does not start if a registered part of MLflow differs."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from conftest import MOST_SECONDS, Server


def command_line(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def printed(program: str) -> str:
    """Return what a program of Python prints in a process of its own."""
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=MOST_SECONDS, check=True
    ).stdout


def test_no_process_keeps_mlflow_but_the_workers(ours: Server, mlflow: Server) -> None:
    assert ours.process
    assert mlflow.process
    assert "mlflow_kubernetes.server.supervise" in command_line(ours.process.pid)
    assert "-m mlflow server" in command_line(mlflow.process.pid)


def test_readiness_asks_the_database(ours: Server, mlflow: Server) -> None:
    assert ours.ask("GET", "/health/ready") == (200, "OK")
    assert mlflow.ask("GET", "/health/ready")[0] == 404


def test_a_changed_part_of_mlflow_stops_the_server_with_one_line() -> None:
    program = (
        "from mlflow.server import handlers\n"
        "handlers._validate_storage_location_uri = lambda value, field_name: value\n"
        "del handlers._send_artifact\n"
        "from mlflow_kubernetes.server import workers\n"
        "workers.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "mlflow.server:app"],
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: this image's patches were made for ")
    assert (
        "mlflow.server.handlers:_send_artifact is missing, "
        "mlflow.server.handlers:_validate_storage_location_uri."
    ) in line
    assert line.endswith("or follow docs/upgrading-mlflow.md")


def test_the_server_does_not_go_on_with_mlflows_own_stores() -> None:
    program = (
        "from mlflow_kubernetes import stores\n"
        "assert stores.problem() is None\n"
        "from mlflow.tracking import registry\n"
        "registry.get_entry_points = lambda group: []\n"
        "print(stores.problem())\n"
    )
    assert printed(program).startswith("MLflow opens mysql by mlflow.server.handlers.")


def test_what_is_imported_beside_mlflows_command_is_not_what_reads_its_variables() -> None:
    program = (
        "import importlib, sys\n"
        "from mlflow_kubernetes import serve\n"
        "for module in ('mlflow', *serve.MEANWHILE):\n"
        "    importlib.import_module(module)\n"
        "print([name for name in sys.modules if name.startswith('mlflow.server')])\n"
    )
    assert printed(program) == "[]\n"


def test_a_wrong_argument_is_told_by_mlflow_and_ends_the_server() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlflow_kubernetes.serve", "--no-such-option"],
        env={
            **os.environ,
            "MLFLOW_BACKEND_STORE_URI": "sqlite://",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert "No such option '--no-such-option'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_waits_for_its_database_ends_at_sigterm() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "mlflow_kubernetes.serve"],
        env={
            **os.environ,
            # Nothing listens at this port.
            "MLFLOW_BACKEND_STORE_URI": "postgresql+psycopg2://nobody@127.0.0.1:1/nothing",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as server:
        try:
            assert server.stdout
            assert server.stdout.readline().startswith("waiting for ")
            server.terminate()
            # A handler of this program gave the status, and not the signal.
            assert server.wait(20) == 128 + signal.SIGTERM
        finally:
            # Outside of a container the fork stays.
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
