"""The input `pods`: the options that pods get, and those that are refused."""

import json
import typing
from typing import Any

import pulumi
import pytest

from components import S3, Minio, PodArgs, Postgres, S3Args, TrackingServer
from components._kubernetes import pod_json
from components._kubernetes.own_variables import OWN_VARIABLES
from components._kubernetes.pod_json import from_kubernetes
from components._kubernetes.pod_options import Unacceptable, merged
from tests.unit.recorder import Recorded, pod_template, record
from tests.variants import VARIANTS, objects

# As the reference of Kubernetes writes them.
KUBERNETES: dict[str, Any] = {
    "imagePullSecrets": [{"name": "registry-login"}],
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "mlflow", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
                ]
            }
        }
    },
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "high",
    "labels": {"example.com/team": "ml"},
    "annotations": {"sidecar.istio.io/inject": "false"},
    "env": [
        {"name": "TZ", "value": "Europe/Berlin"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "theirs", "key": "token"}}},
    ],
    "resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "1500m"}},
    "runAsUser": 1000680000,
    "runAsGroup": 0,
    "fsGroup": 1000680000,
    "serviceAccountAnnotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/mlflow"},
}
BUCKET: S3Args = {"namespace": "ns", "server_image": "server:1", "bucket": "b"}


def made(pods: PodArgs) -> Recorded:
    """Return what a database, a store and a server ask for with these options."""

    def program() -> None:
        database = Postgres("postgres", {"namespace": "ns", "pods": pods})
        artifacts = Minio("minio", {"namespace": "ns", "pods": pods})
        TrackingServer(
            "mlflow", {"backend_store": database, "artifact_store": artifacts, "pods": pods}
        )

    return record(program)


def templates(recorded: Recorded) -> dict[str, dict[str, Any]]:
    found = {name: pod_template(inputs) for name, inputs in recorded.kubernetes().items()}
    return {name: template for name, template in found.items() if template}


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return made(from_kubernetes(KUBERNETES))


def test_every_pod_gets_every_option(recorded: Recorded) -> None:
    found = templates(recorded)
    assert {name.split()[0] for name in found} == {"StatefulSet", "Deployment", "Job", "CronJob"}
    for name, template in found.items():
        spec, described = template["spec"], template["metadata"]
        for key in ("imagePullSecrets", "nodeSelector", "tolerations", "priorityClassName"):
            assert spec[key] == KUBERNETES[key], name
        assert spec["affinity"]["nodeAffinity"] == KUBERNETES["affinity"]["nodeAffinity"], name
        assert KUBERNETES["labels"].items() <= described["labels"].items(), name
        assert KUBERNETES["annotations"].items() <= described["annotations"].items(), name
        ids = spec["securityContext"]
        assert [ids[key] for key in ("runAsUser", "runAsGroup", "fsGroup")] == [
            *(1000680000, 0, 1000680000)
        ], name
        for container in (*spec.get("initContainers", []), *spec["containers"]):
            assert container["env"][-2:] == KUBERNETES["env"], name


def test_own_rules_stay_beside_those_that_are_given(recorded: Recorded) -> None:
    for name in ("StatefulSet postgres-server", "Deployment mlflow-server"):
        spec = templates(recorded)[name]["spec"]
        assert "podAntiAffinity" in spec["affinity"]
        (container,) = spec["containers"]
        assert container["resources"]["requests"]["cpu"] == "50m"
        assert container["resources"]["limits"]["cpu"] == "1500m"
        assert "memory" in container["resources"]["requests"]
    (job,) = templates(recorded)["Job minio-bucket"]["spec"]["containers"]
    assert job["resources"]["requests"]["cpu"] == "100m"


def test_selectors_do_not_change(recorded: Recorded) -> None:
    before = made({})
    for name in ("StatefulSet postgres-server", "StatefulSet minio-server"):
        assert recorded.inputs(name)["spec"]["selector"] == before.inputs(name)["spec"]["selector"]
        claims = [each.inputs(name)["spec"]["volumeClaimTemplates"] for each in (recorded, before)]
        assert claims[0] == claims[1]


def test_a_constraint_counts_the_pods_of_its_own_server(recorded: Recorded) -> None:
    for name, template in templates(recorded).items():
        (constraint,) = template["spec"]["topologySpreadConstraints"]
        selected = constraint["labelSelector"]["matchLabels"]
        assert selected.items() <= template["metadata"]["labels"].items(), name
        assert selected["app.kubernetes.io/instance"] in name


def test_pods_run_under_an_account_with_the_annotations(recorded: Recorded) -> None:
    for name, account in (("postgres", "postgres"), ("mlflow", "mlflow")):
        made_account = recorded.inputs(f"ServiceAccount {name}-account")
        annotations = made_account["metadata"]["annotations"]
        assert KUBERNETES["serviceAccountAnnotations"].items() <= annotations.items()
        assert made_account["automountServiceAccountToken"] is False
        for owner, template in templates(recorded).items():
            if owner.split()[1].startswith(name):
                assert template["spec"]["serviceAccountName"] == account
                assert template["spec"]["automountServiceAccountToken"] is False
    without = [name for name in made({}).resources if name.startswith("ServiceAccount")]
    assert without == ["ServiceAccount mlflow-migration-account"]


def test_the_server_runs_under_the_account_with_which_the_bucket_was_checked() -> None:
    pods: PodArgs = {"service_account_annotations": {"eks.amazonaws.com/role-arn": "arn"}}

    def program() -> None:
        bucket = S3("s3", {**BUCKET, "pods": pods})
        database = Postgres("postgres", {"namespace": "ns"})
        TrackingServer("mlflow", {"backend_store": database, "artifact_store": bucket})

    found = templates(record(program))
    for name in ("Job s3-check", "Deployment mlflow-server", "CronJob mlflow-gc"):
        assert found[name]["spec"]["serviceAccountName"] == "s3"
    assert found["Job mlflow-migration"]["spec"]["serviceAccountName"] == "mlflow-migration"
    with pytest.raises(pulumi.RunError, match="either service_account or pods"):
        record(lambda: S3("s3", {**BUCKET, "service_account": "theirs", "pods": pods}))


def test_a_platform_assigns_the_user_where_it_is_asked_to() -> None:
    for name, template in templates(made({"user_from_platform": True})).items():
        ids = template["spec"]["securityContext"]
        assert ids["runAsNonRoot"] is True, name
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & ids.keys(), name


@pytest.mark.parametrize(
    ("resources", "requests", "limits"),
    [
        ({"limits": {"cpu": "50m"}}, "50m", "50m"),
        ({"requests": {"cpu": "6"}}, "6", "6"),
        ({"requests": {"cpu": "1"}, "limits": {"cpu": "3"}}, "1", "3"),
    ],
)
def test_a_request_is_never_above_its_limit(resources: Any, requests: str, limits: str) -> None:
    postgres = made({"resources": resources}).pods()["StatefulSet postgres-server"]
    (container,) = postgres["containers"]
    assert container["resources"]["requests"]["cpu"] == requests
    assert container["resources"]["limits"]["cpu"] == limits


def test_options_of_one_kind_of_pod_are_merged_over_those_of_all() -> None:
    first: PodArgs = {
        "labels": {"a": "1", "b": "1"},
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
        "tolerations": [{"key": "a"}],
        "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "4"}},
        "priority_class_name": "low",
    }
    second: PodArgs = {
        "labels": {"b": "2"},
        "env": [{"name": "B", "value": "2"}],
        "tolerations": [{"key": "b"}],
        "resources": {"requests": {"cpu": "2"}},
    }
    assert merged(first, second) == {
        "labels": {"a": "1", "b": "2"},
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "tolerations": [{"key": "b"}],
        "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "4"}},
        "priority_class_name": "low",
    }
    assert merged({}, second) == second


WRONG = [
    # JSON, where the mistake is, what is offered
    ([], "", "an object with imagePullSecrets, nodeSelector"),
    ({"toleration": []}, "toleration", "tolerations, .*; 'toleration' is none of them"),
    ({"tolerations": {}}, "tolerations", "a list"),
    ({"tolerations": ["gpu"]}, r"tolerations\[0\]", "an object with effect, key"),
    ({"tolerations": [{"efect": "a"}]}, r"tolerations\[0\].efect", "effect, key, operator"),
    ({"tolerations": [{"effect": "No"}]}, r"tolerations\[0\].effect", "NoSchedule or Prefer"),
    (
        {"topologySpreadConstraints": [{"maxSkew": True}]},
        r"topologySpreadConstraints\[0\].maxSkew",
        "a whole number",
    ),
    (
        {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone"}]},
        r"topologySpreadConstraints\[0\]",
        "with whenUnsatisfiable",
    ),
    ({"affinity": {"nodeAffinity": {"a": 1}}}, "affinity.nodeAffinity.a", "preferredDuring"),
    ({"priorityClassName": 3}, "priorityClassName", "a text"),
    ({"nodeSelector": ["a"]}, "nodeSelector", "an object with texts"),
    ({"imagePullSecrets": ["login"]}, r"imagePullSecrets\[0\]", "an object with name"),
    ({"labels": {"app.kubernetes.io/name": "a"}}, "labels.*", "another label"),
    ({"labels": {"pod-template-hash": "a"}}, "labels.*", "another label"),
    ({"labels": {"mlflow-kubernetes/postgres": "client"}}, "labels.*", "outside of mlflow-k"),
    ({"labels": {"a": "b c"}}, "labels.a", "63 letters, digits"),
    ({"labels": {"-a": "b"}}, "labels.-a", "a name such as"),
    ({"annotations": {"mlflow-kubernetes/secrets": "a"}}, "annotations.*", "outside of mlflow"),
    ({"annotations": {"pulumi.com/skipAwait": "true"}}, "annotations.*", "outside of pulumi"),
    ({"annotations": {"a": 1}}, "annotations.a", "a text"),
    ({"annotations": {"a": "\0"}}, "annotations.a", "without control characters"),
    ({"env": [{"value": "a"}]}, r"env\[0\]", "with name"),
    ({"env": [{"name": "1", "value": "a"}]}, r"env\[0\].name", "a variable's name"),
    ({"env": [{"name": "HOME"}]}, r"env\[0\].name", "another variable than HOME"),
    ({"env": [{"name": "MLFLOW_BACKEND_STORE_URI"}]}, r"env\[0\].name", "another variable"),
    ({"env": [{"name": "A"}, {"name": "A"}]}, "env", "each name once"),
    ({"resources": {"limit": {}}}, "resources.limit", "requests, limits"),
    ({"resources": {"limits": {"cpu": 1}}}, "resources.limits.cpu", "a text"),
    ({"resources": {"limits": {"cpu": "1 core"}}}, "resources.limits.cpu", "a quantity"),
    (
        {"resources": {"requests": {"cpu": "1100m"}, "limits": {"cpu": "1"}}},
        "resources.requests.cpu",
        "1, its limit, or less",
    ),
    ({"runAsUser": 0}, "runAsUser", "a number from 1"),
    ({"runAsUser": "none"}, "runAsUser", "a whole number"),
    ({"fsGroup": 2**31}, "fsGroup", "a number from 0"),
    ({"userFromPlatform": True, "runAsUser": 5}, "runAsUser", "nothing with userFromPlatform"),
]


@pytest.mark.parametrize(("options", "where", "accepted"), WRONG, ids=str)
def test_what_no_pod_can_have_is_refused(options: Any, where: str, accepted: str) -> None:
    # What a setting holds went through JSON.
    with pytest.raises(Unacceptable, match=f"{where}.*{accepted}") as refused:
        from_kubernetes(json.loads(json.dumps(options)))
    assert bool(refused.value.where) == bool(where)


def test_a_component_refuses_it_as_well_and_names_the_input() -> None:
    for wrong, line in (
        ({"tolerationz": []}, r"db\.pods\.tolerationz: no such input; did you mean tolerations\?"),
        ({"env": [{"name": "HOME"}]}, r"db\.pods\.env\[0\]\.name: accepted: another variable"),
        ({"run_as_user": 0}, r"db\.pods\.run_as_user: accepted: a number from 1"),
    ):
        pods: Any = wrong
        with pytest.raises(pulumi.RunError, match=line):
            record(lambda: Postgres("db", {"namespace": "ns", "pods": pods}))  # noqa: B023 (run at once)


def test_every_option_can_be_written_in_json() -> None:
    assert pod_json._SHAPES.keys() == PodArgs.__annotations__.keys()
    assert typing.is_typeddict(PodArgs)


def test_every_variable_of_the_program_is_known() -> None:
    """A user who set such a variable would take an address or a password from a container."""
    outside = VARIANTS[0].render(
        trackingHost="example.com/mlflow",
        egress=["10.8.0.1:3128"],
        httpProxy="http://10.8.0.1:3128",
    )
    found: set[str] = set()
    for recorded in [outside, *(variant.render(pods={}) for variant in VARIANTS)]:
        manifests = objects(recorded)
        keys = {
            one["metadata"]["name"]: set(one["stringData"])
            for one in manifests
            if one["kind"] == "Secret"
        }
        for pod in (template["spec"] for one in manifests if (template := pod_template(one))):
            for container in (*pod.get("initContainers", []), *pod["containers"]):
                found |= {one["name"] for one in container.get("env", [])}
                for source in container.get("envFrom", []):
                    found |= keys.get(source["secretRef"]["name"], set())
    assert found == OWN_VARIABLES
