"""`make` refuses wrong settings before it makes anything, by the reader that the program has."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import stack, up
from commands._main import CommandError
from commands.cluster import UsersCluster
from tests.variants import ENCRYPTED, VARIANTS, Variant


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "Pulumi.yaml").write_text((stack.CLONE / "Pulumi.yaml").read_text())
    monkeypatch.setattr(stack, "CLONE", tmp_path)
    return tmp_path


def write(clone: Path, **settings: Any) -> None:
    config = {f"mlflow:{key}": value for key, value in settings.items()}
    content = {"config": {"kubernetes:context": "minikube", **config}}
    (clone / "Pulumi.minikube.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"workers": 0}, "mlflow:workers: '0'; accepted: a whole number from 1 to 16"),
        ({"createNamespace": "perhaps"}, "mlflow:createNamespace: 'perhaps'; accepted: "),
        ({"createNamespace": 1}, "mlflow:createNamespace: '1'; accepted: "),
        ({"allowedHosts": ["a b"]}, "mlflow:allowedHosts: '[\"a b\"]'; accepted: "),
        ({"ingressAnnotations": {"a": {"b": "c"}}}, 'mlflow:ingressAnnotations: \'{"a": {'),
        ({"worker": 2}, "mlflow:worker: no such setting; did you mean workers?"),
        ({"trackingHost": "a.local", "artifactHost": "a.local"}, "mlflow:artifactHost: 'a.local'"),
        ({"databaseUri": "postgresql://u:word@h/d"}, "mlflow:databaseUri: [secret]; accepted: an "),
    ],
)
def test_a_mistake_is_one_line(clone: Path, wrong: dict[str, Any], line: str) -> None:
    write(clone, **wrong)
    with pytest.raises(CommandError) as refused:
        stack.settings("minikube")
    (told,) = str(refused.value).splitlines()
    assert told.startswith(line)


def test_all_mistakes_are_named_at_once(clone: Path) -> None:
    write(clone, workers=0, replicas="many")
    with pytest.raises(CommandError) as refused:
        stack.settings("minikube")
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_what_the_program_takes_is_taken(clone: Path, variant: Variant) -> None:
    write(
        clone,
        **{
            key: {"secure": "v1:none"} if key in ENCRYPTED else value
            for key, value in variant.settings.items()
        },
    )
    stack.settings("minikube")


def test_a_value_that_only_the_engine_can_decrypt_is_left_to_the_program(clone: Path) -> None:
    # In clear, s3Bucket without artifactStore: s3 is a contradiction.
    write(clone, s3Bucket="b-1", databaseUri={"secure": "v1:none"})
    assert stack.settings("minikube").database_uri is None
    write(clone, hdfsConfiguration={"a": {"secure": "v1:none"}})
    assert stack.settings("minikube").hdfs_configuration == {}


def test_a_mistake_beside_an_encrypted_value_is_refused(clone: Path) -> None:
    write(clone, workers=0, databaseUri={"secure": "v1:none"})
    with pytest.raises(CommandError, match=r"^mlflow:workers: '0'; accepted: .*$"):
        stack.settings("minikube")


def test_an_encrypted_value_that_make_needs_is_refused(clone: Path) -> None:
    write(clone, namespace={"secure": "v1:none"})
    line = "mlflow:namespace: [secret]; accepted: a value in clear, because `make` cannot decrypt"
    for keys in (["namespace"], stack.WHAT_RUNS):
        with pytest.raises(CommandError, match=line.replace("[", r"\[")):
            stack.some_settings("minikube", *keys)


def test_mistakes_in_other_settings_do_not_keep_a_stack_up(clone: Path) -> None:
    write(clone, workers=0, namespace="ml", protectData="true")
    assert stack.some_settings("minikube", "protectData").protect_data
    found = stack.some_settings("minikube", *stack.WHAT_RUNS)
    assert (found.namespace, found.protect_data) == ("ml", False)


def test_nothing_is_made_before(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(clone, workers=0)
    cluster = UsersCluster("minikube", {})
    monkeypatch.setattr(stack, "find", lambda _: cluster)
    monkeypatch.setattr(UsersCluster, "start", lambda _: pytest.fail("the cluster was started"))
    with pytest.raises(CommandError, match="mlflow:workers"):
        up.command()
