"""A plugin ends when its engine is killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.programs import CLONE
from harness.waiting import wait_until

ENGINE = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-P", "-m", sys.argv[1], "127.0.0.1:1"]).pid, flush=True)
input()
"""


@pytest.mark.parametrize("name", ["random", "language"])
def test_a_plugin_ends_when_its_engine_was_killed(name: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENGINE, f"lab.plugins.{name}"],
        env=os.environ | {"PYTHONPATH": str(CLONE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as engine:
        assert engine.stdout is not None
        plugin, _port = (int(engine.stdout.readline()) for _ in range(2))
        engine.kill()
    # A zombie, which nothing here may reap, has no folder.
    wait_until(lambda: not Path(f"/proc/{plugin}/cwd").exists(), 60, "the plugin ends", every=0.1)
