"""What takes a real MySQL, the logins of a rotation: the tests in on_mysql/.

They run in the server's virtual environment, and MySQL's programs in their image. The end-to-end
tests show that pods do the same.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from components._defaults import MYSQL_IMAGE
from lab import images
from tests import server_environment
from tests.unit.recorder import run_stack

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="MySQL is started in its image, as root"),
]


def pod(number: int) -> dict[str, Any]:
    """Return what the pod runs after so many rotations."""
    stack = run_stack(backendStore="mysql", rotation={"database": number})
    spec = stack.pods()["StatefulSet mysql-server"]
    return {
        "before": [one["command"] for one in spec["initContainers"]],
        "args": spec["containers"][0]["args"],
        "first_start": stack.inputs("ConfigMap mysql-first-start")["data"],
    }


def test_logins_of_rotations() -> None:
    environment = {
        "PYTHONPATH": str(Path(__file__).parent),  # image_program.py
        "MYSQL_FILES": str(images.unpack(MYSQL_IMAGE)),
        "MYSQL_PODS": json.dumps([pod(number) for number in range(3)]),
    }
    server_environment.run_tests(Path(__file__).parent / "on_mysql", environment)
