"""Wrong settings are told before anything is made; the program stays the judge of all others."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import up
from commands.support import check_settings, stack
from commands.support.cluster import UsersCluster
from commands.support.console import CommandError
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
def test_a_mistake_is_told_in_a_line(clone: Path, wrong: dict[str, Any], line: str) -> None:
    write(clone, **wrong)
    with pytest.raises(CommandError) as refused:
        check_settings.refuse("minikube")
    (told,) = str(refused.value).splitlines()
    assert told.startswith(line)


def test_all_mistakes_are_told_at_once(clone: Path) -> None:
    write(clone, workers=0, replicas="many")
    with pytest.raises(CommandError) as refused:
        check_settings.refuse("minikube")
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
    check_settings.refuse("minikube")


def test_what_only_the_engine_can_read_is_left_to_it(clone: Path) -> None:
    write(clone, workers=0, databaseUri={"secure": "v1:none"})
    check_settings.refuse("minikube")


def test_nothing_is_made_before(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(clone, workers=0)
    cluster = UsersCluster("minikube", {})
    monkeypatch.setattr(stack, "find", lambda _: cluster)
    monkeypatch.setattr(UsersCluster, "start", lambda _: pytest.fail("the cluster was started"))
    with pytest.raises(CommandError, match="mlflow:workers"):
        up.command()
