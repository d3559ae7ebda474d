"""The settings of Patroni that each member has for itself, as the file that Patroni reads."""

import json
import shlex
import sys
from collections.abc import Mapping
from typing import Any

POSTGRES_PORT = 5432
PATRONI_PORT = 8008


def of_member(variables: Mapping[str, str]) -> str:
    """Return the file. Names and passwords are in variables that Patroni reads itself.

    The file has no section `bootstrap`, without which Patroni makes no database.

    Args:
        variables: the variables of the pod.
    """
    address = variables["POD_ADDRESS"]
    host = f"[{address}]" if ":" in address else address
    replication = variables["PATRONI_REPLICATION_USERNAME"]
    settings: dict[str, Any] = {
        "restapi": {
            "listen": f"{host}:{PATRONI_PORT}",
            "connect_address": f"{host}:{PATRONI_PORT}",
        },
        "postgresql": {
            "listen": f"*:{POSTGRES_PORT}",
            "connect_address": f"{host}:{POSTGRES_PORT}",
            "data_dir": variables["PGDATA"],
            "pgpass": "/tmp/pgpass",  # noqa: S108 (in the pod)
            "parameters": {"unix_socket_directories": "/var/run/postgresql"},
            # The superuser's password may be rotated: Patroni itself needs none on the socket.
            "use_unix_socket": True,
            "use_unix_socket_repl": True,
            "pg_hba": [
                # Those of the official image.
                "local all all trust",
                "host all all 127.0.0.1/32 trust",
                "host all all ::1/128 trust",
                "local replication all trust",
                "host replication all 127.0.0.1/32 trust",
                "host replication all ::1/128 trust",
                "host all all all scram-sha-256",
                # The other members.
                f"host replication {replication} all scram-sha-256",
            ],
            # A copy that is being made must not count as a member that has a write. PostgreSQL
            # counts a receiver of the log that has a slot.
            "basebackup": ["no-slot", {"checkpoint": "fast"}],
            "callbacks": {"on_role_change": _fence(variables)},
            # What a former primary has and the others lack was never acknowledged.
            "remove_data_directory_on_rewind_failure": True,
            "remove_data_directory_on_diverged_timelines": True,
        },
    }
    return json.dumps(settings, indent=2)


def _fence(variables: Mapping[str, str]) -> str:
    """Return the command that Patroni runs when the member's role has changed."""
    told = ("NAMESPACE", "ROLE_LABEL", "LEADER_LABEL_VALUE")
    namespace, label, value = (variables[f"PATRONI_KUBERNETES_{name}"] for name in told)
    command = [sys.executable, "-m", "postgres_members.fence"]
    return shlex.join([*command, namespace, variables["PATRONI_NAME"], label, value])
