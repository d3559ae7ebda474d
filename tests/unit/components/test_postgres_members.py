"""Several members of PostgreSQL: what they may do in the cluster, and what they are told."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from components import Postgres
from components.backend_stores import _patroni
from tests.unit.recorder import Recorded, content, record, run_stack
from tests.variants import plain

RECORD = ["postgres-config", "postgres-failover", "postgres-leader", "postgres-sync"]


@pytest.fixture(scope="module")
def stack() -> Recorded:
    return run_stack(databaseReplicas=3)


def template(stack: Recorded) -> dict[str, Any]:
    found: dict[str, Any] = stack.inputs("StatefulSet postgres-server")["spec"]["template"]
    return found


def variables(stack: Recorded, name: str = "postgres") -> dict[str, dict[str, Any]]:
    spec = stack.inputs(f"StatefulSet {name}-server")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return {one["name"]: one for one in container["env"]}


def shared(stack: Recorded, name: str = "postgres") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(variables(stack, name)["MEMBERS_SETTINGS"]["value"])
    return found


def test_a_single_server_has_nothing_of_patroni() -> None:
    alone = run_stack()
    assert "patroni" not in json.dumps(alone.kubernetes()).lower()
    assert alone.kubernetes() == run_stack(databaseReplicas=1).kubernetes()


def test_the_service_leads_to_the_primary_and_its_name_stays(stack: Recorded) -> None:
    alone = run_stack()
    service, before = (plain(one.inputs("Service postgres-service")) for one in (stack, alone))
    assert service["spec"]["selector"] == {
        **before["spec"]["selector"],
        _patroni.ROLE: _patroni.PRIMARY,
    }
    assert {**service, "spec": 0} == {**before, "spec": 0}
    assert service["spec"]["ports"] == before["spec"]["ports"]


def test_a_stack_that_grows_keeps_its_volume(stack: Recorded) -> None:
    alone = run_stack()
    grown, before = (
        plain(one.inputs("StatefulSet postgres-server"))["spec"] for one in (stack, alone)
    )
    assert (before["replicas"], grown["replicas"]) == (1, 3)
    # Kubernetes refuses a change of these.
    for key in ("selector", "serviceName", "volumeClaimTemplates", "podManagementPolicy"):
        assert grown[key] == before[key], key


def test_members_are_divided_among_the_nodes_and_evicted_one_at_a_time(stack: Recorded) -> None:
    (rule,) = template(stack)["spec"]["topologySpreadConstraints"]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    assert (rule["maxSkew"], rule["whenUnsatisfiable"]) == (1, "DoNotSchedule")
    picked = stack.inputs("StatefulSet postgres-server")["spec"]["selector"]
    assert rule["labelSelector"] == picked
    budget = stack.inputs("PodDisruptionBudget postgres-budget")["spec"]
    assert (budget["maxUnavailable"], budget["selector"]) == (1, picked)


def test_a_rule_of_the_platform_comes_beside_the_one_for_nodes() -> None:
    def keys(*topologies: str) -> list[str]:
        rules = [
            {"maxSkew": 2, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway"}
            for key in topologies
        ]
        made = run_stack(databaseReplicas=3, pods={"topologySpreadConstraints": rules})
        return [
            f"{one['topologyKey']} {one['maxSkew']:.0f}"
            for one in template(made)["spec"]["topologySpreadConstraints"]
        ]

    assert keys("zone") == ["kubernetes.io/hostname 1", "zone 2"]
    assert keys("kubernetes.io/hostname") == ["kubernetes.io/hostname 2"]


def test_the_rights_are_those_that_patroni_needs(stack: Recorded) -> None:
    rules = plain(stack.inputs("Role postgres-role"))["rules"]
    found = {
        (verb, kind, name)
        for rule in rules
        for verb in rule["verbs"]
        for kind in rule["resources"]
        for name in rule.get("resourceNames", ["*"])
    }
    members = [f"postgres-{number}" for number in range(3)]
    assert found == {
        *((verb, "configmaps", name) for verb in ("get", "patch") for name in RECORD),
        *((verb, "pods", name) for verb in ("get", "patch") for name in members),
        *((verb, "configmaps", "*") for verb in ("create", "list", "watch")),
        *((verb, "pods", "*") for verb in ("list", "watch")),
    }
    account = stack.inputs("RoleBinding postgres-role-binding")["subjects"][0]["name"]
    users = [name for name, pod in stack.pods().items() if pod.get("serviceAccountName") == account]
    assert users == ["StatefulSet postgres-server"]


def test_the_record_is_made_for_patroni_and_its_content_is_patronis(stack: Recorded) -> None:
    found = {
        one["metadata"]["name"]: one
        for name, one in stack.kubernetes().items()
        if name.startswith("ConfigMap postgres-") and "data" not in one
    }
    assert sorted(found) == RECORD
    told = {name: one["value"] for name, one in variables(stack).items() if "value" in one}
    labels = {
        **json.loads(told["PATRONI_KUBERNETES_LABELS"]),
        told["PATRONI_KUBERNETES_SCOPE_LABEL"]: told["PATRONI_SCOPE"],
    }
    # Patroni looks for its record, and for the pods of the members, by these.
    for one in found.values():
        assert labels.items() <= one["metadata"]["labels"].items()
        assert all("pulumi.com/" in name for name in one["metadata"]["annotations"])
    assert labels.items() <= template(stack)["metadata"]["labels"].items()


def test_a_token_is_in_the_members_pods_alone(stack: Recorded) -> None:
    with_token = {
        name
        for name, pod in stack.pods().items()
        for volume in pod["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        if "serviceAccountToken" in source
    }
    assert with_token - {"CronJob mlflow-rollback"} == {
        "Job mlflow-migration",
        "StatefulSet postgres-server",
    }


def test_passwords_are_in_secrets_alone(stack: Recorded) -> None:
    given = variables(stack)
    passwords = [name for name in given if name.endswith("_PASSWORD")]
    assert len(passwords) == 5
    for name in passwords:
        assert given[name].keys() == {"name", "valueFrom"}
    own = content(stack, "postgres-members")
    assert sorted(own) == ["REPLICATION_PASSWORD", "RESTAPI_PASSWORD", "REWIND_PASSWORD"]
    assert len({*own.values()}) == 3


def test_no_acknowledged_write_is_on_one_volume_alone(stack: Recorded) -> None:
    found = shared(stack)
    assert found["synchronous_mode"] == "quorum"
    assert found["synchronous_mode_strict"] is True
    assert found["synchronous_node_count"] == 1
    of_five = record(lambda: Postgres("db", {"replicas": 5}))
    assert shared(of_five, "db")["synchronous_node_count"] == 2


def test_a_lost_primary_is_replaced_in_time(stack: Recorded) -> None:
    found = shared(stack)
    # Patroni changes times that break its rule.
    assert found["loop_wait"] + 2 * found["retry_timeout"] <= found["ttl"]
    assert found["ttl"] == 20
    assert found["failsafe_mode"] is True
    assert found["primary_start_timeout"] == 0
    (container,) = template(stack)["spec"]["containers"]
    readiness = container["readinessProbe"]
    # The next primary is a member that was ready before: it stays ready without a primary.
    assert readiness["periodSeconds"] * readiness["failureThreshold"] > found["ttl"] + 10
    assert readiness["periodSeconds"] <= 2


def test_clients_wait_for_a_primary_and_give_up_a_lost_one(stack: Recorded) -> None:
    uris = content(stack, "postgres-credentials")
    alone = content(run_stack(), "postgres-credentials")
    for name, uri in uris.items():
        assert urlsplit(uri)._replace(query="") == urlsplit(alone[name])._replace(query="")
        options = {key: values[0] for key, values in parse_qs(urlsplit(uri).query).items()}
        assert options["target_session_attrs"] == "read-write"
        assert int(options["tcp_user_timeout"]) <= 10_000
        probes = int(options["keepalives_interval"]) * int(options["keepalives_count"])
        assert int(options["keepalives_idle"]) + probes <= 10


def test_sizes_reach_the_server_by_patroni() -> None:
    made = run_stack(databaseReplicas=3, databaseMemory="8Gi", databaseConnections=500)
    parameters = shared(made)["postgresql"]["parameters"]
    assert parameters["max_connections"] == 510
    assert parameters["shared_buffers"] == "2048MB"
    (container,) = template(made)["spec"]["containers"]
    # Patroni has its own memory beside.
    assert container["resources"]["limits"]["memory"] == f"{8 * 1024 + 128}Mi"
    # Patroni takes fewer than 25 for a mistake, and 100 in their place.
    few = record(lambda: Postgres("db", {"replicas": 3, "connections": 5}))
    assert shared(few, "db")["postgresql"]["parameters"]["max_connections"] == 25
