"""What takes a real PostgreSQL, the WAL archive, logins and indexes: the tests in on_postgres/.

They run in the server's virtual environment, and PostgreSQL's programs in their image. The
end-to-end tests show that pods do the same.
"""

import json
import os
from pathlib import Path

import pytest

from components._defaults import POSTGRES_IMAGE
from components._kubernetes import database_tools
from components._wal_archive import RECEIVE
from components.backend_stores._replication import HBA, HBA_FILE, MAKE_ROLE, SETTINGS
from components.backend_stores._rotation import MAKE_LOGIN
from components.backend_stores.postgres import CREATE_APPLICATION_USER
from lab import images
from tests import server_environment

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL is started in its image, as root"),
]


def test_moments_logins_and_indexes() -> None:
    login = {"secret": "", "fingerprint": ""}
    made = {
        "base": database_tools.base("", login),  # type: ignore[arg-type]
        "dump": database_tools.dump(""),
        "recover": database_tools.recover("", database_tools.RECOVERED),
    }
    environment = {
        "PYTHONPATH": str(Path(__file__).parent),  # image_program.py
        "POSTGRES_FILES": str(images.unpack(POSTGRES_IMAGE)),
        "POSTGRES_COMMANDS": json.dumps(
            {
                "receive": ["sh", "-c", RECEIVE, "receive", f"{database_tools.WORK}/wal"],
                "role": ["sh", "-c", MAKE_ROLE],
                "login": ["sh", "-c", MAKE_LOGIN],
                **{name: container.command for name, container in made.items()},
            }
        ),
        "POSTGRES_SETTINGS": json.dumps(SETTINGS),
        "POSTGRES_FIRST_START": json.dumps(
            {"application-user.sql": CREATE_APPLICATION_USER, HBA_FILE: HBA}
        ),
    }
    server_environment.run_tests(Path(__file__).parent / "on_postgres", environment)
