"""Memory, processors and connections of a database server in the cluster."""

from typing import Any

import pytest

from components import Mysql, Postgres
from components._kubernetes.quantities import amount
from tests.unit.recorder import Recorded, record, run_stack


def container(recorded: Recorded, name: str) -> Any:
    (found,) = recorded.inputs(f"StatefulSet {name}-server")["spec"]["template"]["spec"][
        "containers"
    ]
    return found


def test_chosen_memory_is_requested_whole_and_divided_by_the_database() -> None:
    sizes: Any = {"memory": "8Gi", "cpus": 6, "connections": 500}
    postgres = container(record(lambda: Postgres("one", sizes)), "one")
    mysql = container(record(lambda: Mysql("one", sizes)), "one")
    for found in (postgres, mysql):
        resources = found["resources"]
        assert amount(resources["requests"]["memory"]) == amount("8Gi")
        assert amount(resources["limits"]["memory"]) == amount("8Gi")
        assert resources["limits"]["cpu"] == "6"
    assert postgres["args"] == [
        *("postgres", "-c", "max_connections=510"),
        *("-c", "shared_buffers=2048MB", "-c", "effective_cache_size=6144MB"),
    ]
    assert {"--max-connections=510", "--innodb-buffer-pool-size=4096M"} <= {*mysql["args"]}


@pytest.mark.parametrize("backend", ["postgres", "mysql"])
def test_more_connections_are_larger_pools_of_the_server(backend: str) -> None:
    def pool(**changed: object) -> int:
        made = run_stack(backendStore=backend, replicas=3, workers=4, **changed)
        server = made.inputs("Deployment mlflow-server")["spec"]["template"]["spec"]["containers"][
            0
        ]
        (size,) = [
            one["value"]
            for one in server["env"]
            if one["name"] == "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"
        ]
        return int(size)

    assert pool() == 2
    assert pool(databaseConnections=600, databaseMemory="4Gi") == 9
