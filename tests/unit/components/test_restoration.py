"""The suspended CronJob from which `make restore` makes Jobs."""

from typing import Any

import pytest

from tests.unit.recorder import Recorded, run_stack

SECRETS = {
    "postgres-credentials",
    "minio-credentials",
    "mlflow-keys",
    "mlflow-users",
    "backup-target",
}


@pytest.fixture(scope="module")
def stack() -> Recorded:
    return run_stack()


@pytest.fixture(scope="module")
def cron_job(stack: Recorded) -> dict[str, Any]:
    found: dict[str, Any] = stack.kubernetes()["CronJob mlflow-restore"]
    return found


@pytest.fixture(scope="module")
def pod(cron_job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


def test_it_waits_for_a_person_and_tries_once(cron_job: dict[str, Any]) -> None:
    assert cron_job["spec"]["suspend"] is True
    assert cron_job["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 0


def test_the_dump_is_fetched_before_and_compared_after_the_databases_own_program(
    pod: dict[str, Any],
) -> None:
    containers = [*pod["initContainers"], *pod["containers"]]
    assert [one["name"] for one in containers] == ["prepare", "tools", "fetch", "restore", "job"]
    images = {one["name"]: one["image"].partition(":")[0] for one in containers}
    assert images["restore"] == "postgres"
    assert images["tools"] == "rclone/rclone"
    assert images["fetch"] == images["job"] == "mlflow-kubernetes/server"


def test_without_a_name_of_a_backup_it_restores_nothing(pod: dict[str, Any]) -> None:
    for name in ("fetch", "job"):
        (container,) = (
            one for one in [*pod["initContainers"], *pod["containers"]] if one["name"] == name
        )
        given = {one["name"]: one.get("value") for one in container["env"]}
        assert (given["RESTORE_FROM"], given["RESTORE_OVERWRITE"]) == ("", "")


def test_only_the_programs_of_this_package_are_given_secrets(pod: dict[str, Any]) -> None:
    given = {
        one["name"]: {source["secretRef"]["name"] for source in one.get("envFrom", [])}
        for one in [*pod["initContainers"], *pod["containers"]]
    }
    assert given["fetch"] == given["job"] == SECRETS
    assert given["prepare"] == {"postgres-credentials"}
    assert given["tools"] == given["restore"] == set()


def test_a_stack_without_a_login_gives_no_passwords_of_users() -> None:
    job = run_stack(auth="none").kubernetes()["CronJob mlflow-restore"]
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (last,) = pod["containers"]
    names = {source["secretRef"]["name"] for source in last["envFrom"]}
    assert names == SECRETS - {"mlflow-users"}
