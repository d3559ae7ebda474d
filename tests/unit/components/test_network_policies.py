"""Open paths in every variant: all pairs of pods and their surroundings, at every port.

What is declared is compared with what the rendered policies say, line by line.
"""

from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import Any

import pytest

from artifact_stores import CHOICES
from components import ExternalDatabase, ExternalDatabaseArgs
from tests.allowed_connections import DECLARED, OTHERS, TCP, UDP, declared
from tests.policy_model import End, Policy, Port, open_ports
from tests.unit.recorder import pod_template, record, run_stack
from tests.variants import AXES, VARIANTS, Variant, objects, plain

THEIRS = "10.9.0.0/16"
AROUND = [
    End("ingress", "10.0.2.1", "ingress-nginx", {"app.kubernetes.io/name": "ingress-nginx"}),
    End("dns", "10.0.2.2", "kube-system", {"k8s-app": "kube-dns"}),
    End("training", "10.0.2.3", "training"),
    End("stranger", "10.0.2.4", "stranger", {"app.kubernetes.io/part-of": "mlflow"}),
    End("pretender", "10.0.2.5", "stranger", {"mlflow-kubernetes/mlflow": "client"}),
    End("models", "10.0.2.6", "models"),
    End("proxy", "10.8.0.1"),
    End("API server", "10.0.3.1"),
    End("metadata", "169.254.169.254"),
    End("agent", "169.254.170.23"),
    End("metadata6", "fd00:ec2::254"),
    End("link6", "fe80::a9fe:a9fe"),
    End("carrier", "100.64.0.1"),
    End("docker", "172.17.0.1"),
    End("home", "192.168.49.1"),
    End("benchmark", "198.18.0.1"),
    End("internet", "203.0.113.7"),
    End("internet6", "2001:db8::7"),
    End("outside", "10.9.8.7"),
]
CLOUDS = ("metadata", "agent", "metadata6", "link6")


@cache
def rendered(variant: Variant, *networks: str) -> tuple[list[End], list[Policy]]:
    """Return the pods and the policies of a variant whose backends may be in these networks."""
    given = {"clientNamespaces": ["training"], "externalNetworks": [*networks]}
    found = objects(variant.render(**given))
    policies: list[Policy] = [one for one in found if one["kind"] == "NetworkPolicy"]
    return list(ends(found)), policies


def outside(variant: Variant) -> bool:
    """Say whether a backend or the backups' bucket is not the stack's own."""
    chosen = variant.settings
    return (
        chosen.get("backendStore") == "external"
        or bool(CHOICES[chosen.get("artifactStore", "minio")].outside)
        or chosen.get("backupStore") == "s3"
    )


def ends(found: Sequence[dict[str, Any]]) -> Iterator[End]:
    for number, one in enumerate(found):
        if template := pod_template(one):
            labels = template["metadata"]["labels"]
            name = labels["app.kubernetes.io/instance"]
            yield End(name, f"10.0.1.{number}", one["metadata"]["namespace"], labels)
            if other := OTHERS.get(name) if one["spec"].get("replicas", 1) > 1 else None:
                yield End(other, f"10.0.0.{number}", "mlflow", labels)


def between_two(line: str) -> bool:
    """Say whether a line is about two pods of one kind."""
    names = {*line.partition(": ")[0].split(" -> ")}
    return any(names == {*both} for both in OTHERS.items())


def every_path(ends: Sequence[End], policies: Sequence[Policy]) -> Iterator[tuple[End, End, str]]:
    """Yield every connection that is let through, among all pairs."""
    ports = [*map(Port, TCP), *(Port(number, "UDP") for number in UDP)]
    for source in ends:
        for target in ends:
            if source != target:
                for port in open_ports(source, target, ports, policies):
                    yield source, target, str(port)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_exactly_the_declared_paths_are_open(variant: Variant) -> None:
    pods, policies = rendered(variant, *([THEIRS] if outside(variant) else []))
    theirs = "their namespace" in variant.choices
    neighbour = End("neighbour", "10.0.0.9", "mlflow", {"app": "of-somebody"})
    # In a namespace of the stack's own, not even a pod that nobody knows is left open.
    ours = {"mlflow"} if not theirs else set[str]()
    stack = {*pods, *([neighbour] if ours else [])}
    found = {
        f"{source.name} -> {target.name}: {port}"
        for source, target, port in every_path([*pods, neighbour, *AROUND], policies)
        if source in stack or target in stack
    }
    # The other pod is there for what goes between two of them.
    found = {line for line in found if "other-" not in line or between_two(line)}
    assert found == declared(variant.choices, {end.name for end in (*pods, *AROUND, neighbour)})


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_what_is_not_ours_is_left_alone_in_a_namespace_of_somebody_elses(variant: Variant) -> None:
    _, policies = rendered(variant, *([THEIRS] if outside(variant) else []))
    neighbour = End("neighbour", "10.0.0.9", "mlflow", {"app": "of-somebody"})
    open_to_all = {
        (source.name, target.name)
        for source, target, _ in every_path([neighbour, *AROUND], policies)
    }
    assert ("stranger", "internet") in open_to_all
    left_alone = "their namespace" in variant.choices
    assert (("neighbour", "internet") in open_to_all) == left_alone
    assert (("stranger", "neighbour") in open_to_all) == left_alone


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_wherever_a_backend_may_be_a_cloud_tells_its_keys_to_no_pod(variant: Variant) -> None:
    clouds = [end for end in AROUND if end.name in CLOUDS]
    for networks in ([], ["0.0.0.0/0", "::/0"]) if outside(variant) else ([],):
        pods, policies = rendered(variant, *networks)
        told = {
            (target.name, port)
            for source, target, port in every_path([*pods, *clouds], policies)
            if target in clouds and source in pods
        }
        assert told == ({("agent", "80")} if "s3 by service account" in variant.choices else set())


def test_only_a_server_without_any_key_asks_its_node_for_one() -> None:
    found = objects(run_stack(artifactStore="s3", s3Bucket="mlflow"))
    policies = [one for one in found if one["kind"] == "NetworkPolicy"]
    metadata = next(end for end in AROUND if end.name == "metadata")
    pods = list(ends(found))
    told = {
        (source.name, port)
        for source, target, port in every_path([*pods, metadata], policies)
        if target == metadata
    }
    readers = ("mlflow", "mlflow-migration", "mlflow-gc", "mlflow-restore", "backup", "s3-check")
    assert told == {(name, "80") for name in readers}


def test_a_port_that_an_address_leaves_out_is_the_usual_one() -> None:
    for uri, port in (
        ("postgresql+psycopg2://ml:a@db.example/mlflow", 5432),
        ("mysql+pymysql://ml:a@db.example/mlflow", 3306),
        ("mysql+pymysql://ml:a@[2001:db8::1]:3307/mlflow", 3307),
    ):
        theirs: ExternalDatabaseArgs = {
            "namespace": "ns",
            "server_image": "server:1",
            "uri": uri,
            "auth": False,
            "connections": 9,
        }
        found = record(partial(ExternalDatabase, "external", theirs))
        policy = plain(found.inputs("NetworkPolicy external-database-clients-policy"))
        assert policy["spec"]["egress"][0]["ports"] == [{"protocol": "TCP", "port": port}]


def test_another_ingress_controller_is_let_in_by_its_namespace() -> None:
    found = objects(run_stack(ingressNamespace="traefik", clientWorkspace=True))
    policies = [one for one in found if one["kind"] == "NetworkPolicy"]
    pods = list(ends(found))
    traefik = End("traefik", "10.0.2.9", "traefik")
    ingress = AROUND[0]
    let_in = {
        (source.name, target.name)
        for source, target, _ in every_path([*pods, traefik, ingress], policies)
        if source in (traefik, ingress) and target in pods
    }
    assert let_in == {("traefik", name) for name in ("mlflow", "minio", "workspace")}


def test_every_choice_is_declared() -> None:
    backends = {one for axis in ("backend store", "artifact store") for one in AXES[axis]}
    assert backends <= DECLARED.keys()
