"""The order of the modules of end-to-end tests, and the options of a run."""

from pathlib import Path

import pytest

from harness.backend_stores import DATABASES, POSTGRES

SHARED_STACK = (
    "test_up",
    # These change nothing that another module relies on.
    "test_artifacts",
    "test_client",
    "test_documents",
    "test_ingress",
    "test_login",
    "test_browser",
    "test_malformed_requests",
    "test_outgoing_calls",
    # These change objects or end pods, and leave the stack as it was.
    "test_changed_by_others",
    "test_update_strategy",
    "test_kept_data",
    "test_network",
    "test_known_problems",
    "test_backup",
    # This one takes the stack back to its own backup, which has the data of the modules before.
    "test_restore",
    "test_healing",
    "test_unresponsive_backends",
    # The modules before this one leave logs and events, which this one searches for secrets.
    "test_secrets",
    # This one removes the stack and brings it up again: the data of the modules before is gone.
    "test_destroy",
    # The attacks leave users and logs behind, which the modules before this one would meet.
    "test_attacks",
    "test_interrupted_up",
    "test_two_stacks",
)
"""The modules of shared_stack/, in the order in which they use the one stack."""
OWN_STACK = (
    "test_mysql_and_hdfs",
    "test_external_stores",
    "test_workspace",
    "test_failures",
    "test_gateway",
    "test_tls",
    "test_upgrade",
    "test_wrong_settings",
    # `make test-long`.
    "test_database_replicas",
    "test_killed_pulumi",
    "test_artifact_replicas",
    "test_existing_hdfs",
    "test_failed_upgrade",
    "test_other_pairs",
    "test_resilience",
    "test_older_releases",
    "test_external_mysql",
    "test_postgres_upgrade",
    "test_moving_data",
    "test_rotation",
    "test_restore_much",
    "test_point_in_time",
    "test_repair",
    "test_restore_drill",
    "test_restore_elsewhere",
)
"""The modules of own_stack/, the longest first, so that processes end at about the same time."""
_HERE = Path(__file__).parent
_PLACES = {
    _HERE / folder / f"{module}.py": (number, place)
    for number, (folder, modules) in enumerate(
        (("shared_stack", SHARED_STACK), ("own_stack", OWN_STACK))
    )
    for place, module in enumerate(modules)
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend-store", default=POSTGRES.name, choices=DATABASES)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the modules into their order, and mark all of them as tests that take a cluster."""
    ours = [item for item in items if _HERE in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.e2e)
        if item.path not in _PLACES:
            raise pytest.UsageError(f"{item.path.name} has no place in {Path(__file__).name}")
    ours.sort(key=lambda item: _PLACES[item.path])
    # Tests of other folders stay where they are.
    sorted_ones = iter(ours)
    items[:] = [next(sorted_ones) if _HERE in item.path.parents else item for item in items]
