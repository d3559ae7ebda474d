"""The Kubernetes provider over the protocol: without a cluster, and (e2e) on a real one."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from lab.plugins.wire import UNKNOWN, Properties, Secret, decode, encode
from tests.plugins.harness import failed_state, plugin


class Provider:
    """Asks a provider what the engine would ask it."""

    def __init__(self, stub: Any) -> None:
        self.stub = stub

    def configure(self, **variables: str) -> None:
        keyed = {f"kubernetes:config:{key}": value for key, value in variables.items()}
        self.stub.Configure(provider_pb2.ConfigureRequest(variables=keyed, acceptSecrets=True))

    @staticmethod
    def about(obj: Properties) -> dict[str, Any]:
        group = obj["apiVersion"] if "/" in obj["apiVersion"] else f"core/{obj['apiVersion']}"
        token = f"kubernetes:{group}:{obj['kind']}"
        return {"urn": f"urn:pulumi:dev::p::{token}::it", "type": token, "name": "it"}

    def check(self, obj: Properties, old: Properties | None = None) -> Properties:
        request = provider_pb2.CheckRequest(
            **self.about(obj), news=encode(obj), olds=encode(old or {})
        )
        return decode(self.stub.Check(request).inputs)

    def create(self, obj: Properties, **options: Any) -> tuple[str, Properties]:
        request = provider_pb2.CreateRequest(**self.about(obj), properties=encode(obj), **options)
        answer = self.stub.Create(request)
        return answer.id, decode(answer.properties)

    def diff(self, state: Properties, new: Properties, **options: Any) -> Any:
        request = provider_pb2.DiffRequest(
            **self.about(new), id="x", olds=encode(state), news=encode(new), **options
        )
        return self.stub.Diff(request)

    def update(self, id: str, state: Properties, new: Properties) -> Properties:
        request = provider_pb2.UpdateRequest(
            **self.about(new), id=id, olds=encode(state), news=encode(new)
        )
        return decode(self.stub.Update(request).properties)

    def read(self, obj: Properties, id: str, state: Properties, inputs: Properties) -> Any:
        return self.stub.Read(
            provider_pb2.ReadRequest(
                **self.about(obj), id=id, properties=encode(state), inputs=encode(inputs)
            )
        )

    def delete(self, id: str, state: Properties) -> None:
        request = provider_pb2.DeleteRequest(**self.about(state), id=id, properties=encode(state))
        assert self.stub.Delete(request) == Empty()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with plugin("kubernetes", provider_pb2_grpc.ResourceProviderStub) as stub:
        yield Provider(stub)


def config_map(name: str = "", **data: Any) -> Properties:
    metadata = {"name": name} if name else {}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


# Without a cluster


@pytest.fixture
def nowhere(provider: Provider, tmp_path: Path) -> Provider:
    kubeconfig = {
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "x", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    provider.configure(kubeconfig=str(tmp_path / "kubeconfig"))
    return provider


def test_a_cluster_that_does_not_answer_spoils_operations_not_previews(nowhere: Provider) -> None:
    inputs = nowhere.check(config_map("a", b="c"))
    _, guess = nowhere.create(inputs, preview=True)
    assert guess["data"] == {"b": "c"}
    with pytest.raises(grpc.RpcError, match="configured Kubernetes cluster is unreachable"):
        nowhere.create(inputs)


def test_unnamed_objects_are_named_once(nowhere: Provider) -> None:
    first = nowhere.check(config_map())
    assert first["metadata"]["name"].startswith("it-")
    assert nowhere.check(config_map(), first) == first


def test_secrets_stay_secret_through_check(nowhere: Provider) -> None:
    checked = nowhere.check(config_map("a", b=Secret("c"), d="e"))
    assert checked["data"] == {"b": Secret("c"), "d": "e"}


def test_a_secrets_text_becomes_secret_data(nowhere: Provider) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    assert nowhere.check(secret | {"stringData": {"a": "b"}})["data"] == Secret({"a": "Yg=="})
    assert nowhere.check(secret | {"stringData": {"a": UNKNOWN}})["stringData"] == Secret(
        {"a": UNKNOWN}
    )


def test_kinds_that_the_lab_leaves_out_are_refused_in_one_line(nowhere: Provider) -> None:
    with pytest.raises(grpc.RpcError, match="does not make resources of kind ConfigMapPatch"):
        nowhere.check(config_map("a") | {"kind": "ConfigMapPatch"})


def kubeconfig(server: str) -> str:
    cluster = {"name": "c", "cluster": {"server": server}}
    context = {"name": "c", "context": {"cluster": "c"}}
    return json.dumps({"clusters": [cluster], "contexts": [context], "current-context": "c"})


@pytest.mark.parametrize(
    ("old", "new", "replaces"),
    [
        ({"context": "a"}, {"context": "a"}, []),
        ({"kubeconfig": kubeconfig("a")}, {"kubeconfig": kubeconfig("b")}, ["kubeconfig"]),
        ({"kubeconfig": kubeconfig("a")}, {"kubeconfig": kubeconfig("a") + " "}, []),
        ({"kubeconfig": "x"}, {"kubeconfig": UNKNOWN}, ["kubeconfig"]),
        ({"enableSecretMutable": "true"}, {}, []),
        ({"clusterIdentifier": "a"}, {"clusterIdentifier": "b"}, ["clusterIdentifier"]),
        (
            {"clusterIdentifier": "a", "kubeconfig": kubeconfig("a")},
            {"clusterIdentifier": "a", "kubeconfig": kubeconfig("b")},
            [],
        ),
    ],
)
def test_only_another_cluster_replaces_what_is_on_it(
    provider: Provider, old: Properties, new: Properties, replaces: list[str]
) -> None:
    request = provider_pb2.DiffRequest(olds=encode(old), news=encode(new))
    answer = provider.stub.DiffConfig(request)
    assert list(answer.replaces) == replaces
    assert (answer.changes == provider_pb2.DiffResponse.DIFF_SOME) is (old != new)


# On a cluster


@pytest.fixture
def cluster(provider: Provider) -> Provider:
    if "KUBECONFIG" not in os.environ:
        pytest.skip("needs a cluster: KUBECONFIG is not set")
    provider.configure(namespace="default", upsertExistingObjects="true")
    return provider


@pytest.fixture
def name() -> str:
    return f"plugins-test-{uuid.uuid4().hex[:8]}"


@pytest.mark.e2e
def test_life_of_an_object(cluster: Provider, name: str) -> None:
    inputs = cluster.check(config_map(name, a="1"))
    assert inputs["metadata"]["namespace"] == "default"
    id, state = cluster.create(inputs)
    assert id == f"default/{name}"
    assert state["__inputs"] == inputs
    assert cluster.diff(state, inputs).changes == provider_pb2.DiffResponse.DIFF_NONE
    changed = cluster.check(config_map(name, a="1", b="2"), inputs)
    difference = cluster.diff(state, changed)
    added = provider_pb2.PropertyDiff.ADD_REPLACE
    assert {k: v.kind for k, v in difference.detailedDiff.items()} == {"data.b": added}
    assert list(difference.replaces) == ["data.b"]
    assert difference.deleteBeforeReplace
    state = cluster.update(id, state, changed)
    assert state["data"] == {"a": "1", "b": "2"}
    answer = cluster.read(changed, id, state, changed)
    assert decode(answer.inputs) == changed
    cluster.delete(id, state)
    assert cluster.read(changed, id, state, changed).id == ""
    cluster.delete(id, state)


@pytest.mark.e2e
def test_an_import_brings_the_inputs(cluster: Provider, name: str) -> None:
    id, state = cluster.create(cluster.check(config_map(name, a="1")))
    imported = decode(cluster.read(config_map(name), id, {}, {}).inputs)
    assert imported == config_map(name, a="1") | {
        "metadata": {"name": name, "namespace": "default"}
    }
    cluster.delete(id, state)


@pytest.mark.e2e
def test_an_existing_object_is_taken_over_only_when_asked(cluster: Provider, name: str) -> None:
    inputs = cluster.check(config_map(name, a="1"))
    id, state = cluster.create(inputs)
    assert cluster.create(inputs)[1]["metadata"]["uid"] == state["metadata"]["uid"]
    cluster.configure(namespace="default")
    with pytest.raises(grpc.RpcError, match="already exists in the cluster"):
        cluster.create(inputs)
    cluster.delete(id, state)


@pytest.mark.e2e
def test_a_conflict_names_the_field_and_its_managers(cluster: Provider, name: str) -> None:
    id, state = cluster.create(cluster.check(config_map(name, a="1")))
    other = cluster.check(config_map(name, a="2"))
    with pytest.raises(grpc.RpcError) as error:
        cluster.create(other)
    message = error.value.details()
    assert "server-side apply field conflict detected" in message
    assert f'conflict with "{state["__fieldManager"]}": .data.a' in message
    other["metadata"]["annotations"] = {"pulumi.com/patchForce": "true"}
    assert cluster.create(other)[1]["data"] == {"a": "2"}
    cluster.delete(id, state)


@pytest.mark.e2e
def test_an_object_made_by_a_plain_create_can_lose_fields(cluster: Provider, name: str) -> None:
    cluster.configure(namespace="default")
    inputs = cluster.check(config_map(name, a="1", b="2"))
    id, state = cluster.create(inputs)
    state = cluster.update(id, state, cluster.check(config_map(name, a="1"), inputs))
    assert state["data"] == {"a": "1"}
    (manager,) = state["metadata"]["managedFields"]
    assert (manager["manager"], manager["operation"]) == (state["__fieldManager"], "Apply")
    cluster.delete(id, state)


@pytest.mark.e2e
def test_a_refused_update_keeps_the_object_and_says_why(cluster: Provider, name: str) -> None:
    inputs = cluster.check(config_map(name, a="1"))
    id, state = cluster.create(inputs)
    with pytest.raises(grpc.RpcError, match="a valid config key must consist") as error:
        cluster.update(id, state, cluster.check(config_map(name, **{"no/key": "1"}), inputs))
    kept_id, kept, reasons = failed_state(error.value)
    assert (kept_id, kept["data"]) == (id, {"a": "1"})
    assert "a valid config key" in reasons[0]
    cluster.delete(id, state)


@pytest.mark.e2e
def test_a_preview_asks_the_cluster_and_changes_nothing(cluster: Provider, name: str) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"type": "NodePort", "selector": {"a": "b"}, "ports": [{"port": 80}]},
    }
    inputs = cluster.check(service)
    id, guess = cluster.create(inputs, preview=True)
    assert id == ""
    assert guess["metadata"]["name"] == name
    assert guess["spec"]["ports"][0]["port"] == 80
    assert guess["spec"]["ports"][0]["nodePort"] is UNKNOWN
    assert guess["spec"]["clusterIP"] is UNKNOWN
    inputs["spec"]["ports"][0]["port"] = 99999
    with pytest.raises(grpc.RpcError, match="must be between 1 and 65535"):
        cluster.create(inputs, preview=True)
    with pytest.raises(grpc.RpcError, match="must be between 1 and 65535"):
        cluster.create(inputs)


@pytest.mark.e2e
def test_a_claim_that_is_never_bound_times_out_with_its_phase(cluster: Provider, name: str) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "no-such-class",
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }
    with pytest.raises(grpc.RpcError, match="timed out waiting to be Ready") as error:
        cluster.create(cluster.check(claim), timeout=1.0)
    id, state, reasons = failed_state(error.value)
    assert (id, state["status"]["phase"]) == (f"default/{name}", "Pending")
    assert "now Pending" in reasons[1]
    cluster.delete(id, state)


@pytest.mark.e2e
def test_a_job_that_has_not_succeeded_is_replaced_when_asked(cluster: Provider, name: str) -> None:
    pod = {"containers": [{"name": "c", "image": "none"}], "restartPolicy": "Never"}
    annotations = {"pulumi.com/skipAwait": "true"}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"suspend": True, "template": {"spec": pod}},
    }
    inputs = cluster.check(job)
    id, state = cluster.create(inputs)
    assert not cluster.diff(state, inputs).replaces
    annotations["pulumi.com/replaceUnready"] = "true"
    difference = cluster.diff(state, cluster.check(job, inputs))
    assert list(difference.replaces) == ['metadata.annotations["pulumi.com/replaceUnready"]']
    assert difference.deleteBeforeReplace
    cluster.delete(id, state)


@pytest.mark.e2e
def test_a_cancelled_wait_leaves_the_object_with_the_engine(cluster: Provider, name: str) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"type": "LoadBalancer", "selector": {"a": "b"}, "ports": [{"port": 80}]},
    }
    inputs = cluster.check(service)
    request = provider_pb2.CreateRequest(**cluster.about(inputs), properties=encode(inputs))
    call = cluster.stub.Create.future(request)
    with pytest.raises(grpc.FutureTimeoutError):
        call.result(timeout=3)
    cluster.stub.Cancel(Empty())
    with pytest.raises(grpc.RpcError, match="Resource operation was cancelled") as error:
        call.result(timeout=3)
    id, state, _ = failed_state(error.value)
    cluster.stub.Cancel(Empty())
    assert id == f"default/{name}"
    with plugin("kubernetes", provider_pb2_grpc.ResourceProviderStub) as stub:
        other = Provider(stub)
        other.configure(namespace="default")
        other.delete(id, state)


@pytest.mark.e2e
def test_any_kind_can_be_made_as_soon_as_it_is_defined(cluster: Provider, name: str) -> None:
    plural = name.replace("-", "") + "s"
    kind = plural.capitalize()[:-1]
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "x-kubernetes-preserve-unknown-fields": True,
                        }
                    },
                }
            ],
        },
    }
    custom = {"apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": name}, "a": 1}
    waiting = cluster.check(custom)
    early = provider_pb2.CreateRequest(**cluster.about(custom), properties=encode(waiting))
    call = cluster.stub.Create.future(early)  # before its definition
    definition_id, definition_state = cluster.create(cluster.check(definition))
    answer = call.result(timeout=60)
    assert decode(answer.properties)["a"] == 1
    cluster.delete(answer.id, decode(answer.properties))
    cluster.delete(definition_id, definition_state)
