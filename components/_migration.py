"""The Job that creates or upgrades MLflow's tables, and the Job's rights in the cluster.

Tables that hold data are upgraded while no server runs. So this Job's pods, and no other pods of
the stack, may ask the Kubernetes API: they scale one Deployment, list pods, and write a ConfigMap.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s

from ._kubernetes import api_access, database_tools
from ._kubernetes.arguments import applied, changed
from ._kubernetes.cron_jobs import cron_job
from ._kubernetes.labels import labels, metadata, selector
from ._kubernetes.network_policies import policy
from ._kubernetes.pod_options import PodOptions
from ._kubernetes.pods import SECONDS_TO_START, Credentials, python_template, service_account
from .contracts import BackupTarget

WAIT_SECONDS = 150
"""How long each attempt waits for a database, which may start two minutes late."""
UPGRADE_SECONDS = 3600
"""How long the Job may take. A first migration takes about 10 s; one of a large database may take
many minutes, and the servers are stopped meanwhile."""
_RETRIES = 2
_RECORD_KEY = "upgrade.json"
_TOLD = ("from_image", "to_image", "stopped", "migrated", "dump", "state")
_STARTED = datetime.now(UTC).isoformat(timespec="seconds")
_RECORD_FOLDER = "/etc/mlflow-kubernetes-upgrade"
_FACTS = {
    "namespace": "metadata.namespace",
    # Kubernetes' Job controller sets the label.
    "job": "metadata.labels['batch.kubernetes.io/controller-uid']",
}
"""What the Job reads of its pod, beside the token for the Kubernetes API."""


_DUMP, _RESTORE, _DONE = (f"{database_tools.WORK}/{name}" for name in ("dump", "restore", "done"))
"""Files by which the containers of the chain tell each other what to do (images/mlflow,
upgrade/stages.py)."""


@dataclass(frozen=True)
class Dumps:
    """How the databases are dumped before an upgrade."""

    target: pulumi.Input[BackupTarget]
    """Where the dumps are kept."""
    client_image: pulumi.Input[str]
    """Image with the database's own programs."""
    backends: Sequence[pulumi.Input[Credentials]]
    """Further backends of the containers: the keys of encrypted columns, the artifact store."""


@dataclass(frozen=True)
class Migration:
    """The Job, and the ConfigMap in which it keeps a record of the last upgrade."""

    server: str
    job: k8s.batch.v1.Job
    record: k8s.core.v1.ConfigMap


def migration(
    server: str,
    *,
    namespace: pulumi.Input[str],
    image: pulumi.Input[str],
    pods: PodOptions,
    backends: Sequence[pulumi.Input[Credentials]],
    dumps: Dumps | None,
    environment: Mapping[str, pulumi.Input[str]],
    autoscaled: bool,
    opts: pulumi.ResourceOptions,
) -> Migration:
    """Make the Job that creates or upgrades the tables, before any server starts.

    The servers would create their tables themselves, without a lock: two replicas on an empty
    database race (mlflow/mlflow#19943).

    Args:
        server: name of the Deployment and of the tracking server.
        namespace: the namespace of both.
        image: the server's image.
        pods: what the platform demands of the pods.
        backends: the databases, and the passwords of the stack's own users.
        dumps: how the databases are dumped before an upgrade; None: they are not dumped.
        environment: variables of the server that the Job needs too.
        autoscaled: whether an autoscaler decides the number of servers.
        opts: options of each object.
    """
    name, record_name = f"{server}-migration", f"{server}-upgrade"
    worn = labels(name, "mlflow", "migration")
    if dumps:
        backends = [*backends, *dumps.backends, dumps.target]
    record = k8s.core.v1.ConfigMap(
        record_name,
        # The Job writes the content. The program states none, so an `up` removes none.
        metadata=metadata(record_name, namespace, worn),
        opts=opts,
    )
    # Where a cloud knows the pods by a service account (the bucket's, or the one of `pods`), that
    # account gets the Role.
    own = pods.account or api_access.own_account(name, namespace, worn, opts)
    runs_as = pulumi.Output.all(service_account(backends), own).apply(
        lambda accounts: str(accounts[0] or accounts[1])
    )

    def template(more: Mapping[str, pulumi.Input[str]]) -> k8s.core.v1.PodTemplateSpecArgs:
        return _template(
            record_name,
            labels=worn,
            image=image,
            pods=pods,
            backends=backends,
            dumps=dumps,
            service_account_name=runs_as,
            environment={
                **environment,
                "UPGRADE_DEPLOYMENT": server,
                **({"UPGRADE_AUTOSCALED": "true"} if autoscaled else {}),
                **more,
            },
        )

    ready = _rights(name, server, namespace=namespace, labels=worn, account=runs_as, opts=opts)
    after_rights = pulumi.ResourceOptions.merge(
        opts, pulumi.ResourceOptions(depends_on=[record, *ready])
    )
    job = k8s.batch.v1.Job(
        name,
        # Without the annotation, a Job that failed for good would fail every later `up`.
        metadata=metadata(name, namespace, worn, {"pulumi.com/replaceUnready": "true"}),
        spec=k8s.batch.v1.JobSpecArgs(
            backoff_limit=_RETRIES,
            active_deadline_seconds=UPGRADE_SECONDS,
            template=template({}),
        ),
        opts=pulumi.ResourceOptions.merge(
            after_rights,
            pulumi.ResourceOptions(
                custom_timeouts=pulumi.CustomTimeouts(
                    create=f"{UPGRADE_SECONDS + SECONDS_TO_START + 30}s"
                ),
            ),
        ),
    )
    if dumps:
        # `make rollback` makes a Job of this CronJob.
        cron_job(
            f"{server}-rollback",
            namespace=namespace,
            labels=labels(f"{server}-rollback", "mlflow", "migration"),
            # The CronJob of an existing stack has no time zone. A suspended CronJob needs none.
            time_zone=None,
            seconds=UPGRADE_SECONDS,
            retries=_RETRIES,
            template=template({"UPGRADE_ROLLBACK": "true"}),
            opts=after_rights,
        )
    return Migration(server, job, record)


def last_upgrade(
    made: Migration, deployment: k8s.apps.v1.Deployment, component: pulumi.Resource
) -> pulumi.Output[dict[str, str]]:
    """Return the Job's record of the last upgrade, and log an upgrade that this ``up`` made.

    The texts are ``from_image``, ``to_image``, ``stopped`` and ``migrated`` (times in UTC),
    ``dump`` (name of a backup; empty if there is none) and ``state``. The result is empty before
    the first upgrade.
    """
    # The ConfigMap is read when the new servers are ready. In a preview of a new stack, the ids are
    # unknown, and nothing is read.
    known = pulumi.Output.all(made.record.id, deployment.id).apply(lambda ids: str(ids[0]))
    found = k8s.core.v1.ConfigMap.get(
        f"{made.server}-last-upgrade", known, opts=pulumi.ResourceOptions(parent=component)
    )

    def told(both: Sequence[Any]) -> dict[str, str]:
        data, status = cast("Sequence[Mapping[str, Any] | None]", both)
        record: dict[str, Any] = json.loads((data or {}).get(_RECORD_KEY, "{}"))
        # The Job keeps times in UTC, in the form of ISO 8601.
        if record.get("state") == "done" and record["stopped"] >= _STARTED:
            pulumi.log.info(summary(record, ready_since(status)), resource=component)
        return {key: str(record[key]) for key in _TOLD} if record else {}

    return pulumi.Output.all(found.data, deployment.status).apply(told)


def ready_since(status: Mapping[str, Any] | None) -> datetime | None:
    """Return when a Deployment became available, by its status; None if it is not available."""
    conditions: list[dict[str, str]] = (status or {}).get("conditions") or []
    for one in conditions:
        if one["type"] == "Available" and one["status"] == "True":
            since = one.get("last_transition_time") or one["lastTransitionTime"]
            return datetime.fromisoformat(since)
    return None


def summary(record: Mapping[str, str], ready: datetime | None) -> str:
    """Return the line on an upgrade for the user: what was done, and for how long no server ran.

    Args:
        record: what the Job noted.
        ready: when the new servers were ready; None if that is not known.
    """
    gap = ""
    if ready:
        seconds = (ready - datetime.fromisoformat(record["stopped"])).total_seconds()
        gap = f"; no server answered for {seconds:.0f} s"
    kept = (
        f"; the databases as they were before are backup {record['dump']}, and `make rollback` "
        f"goes back to {record['from_image']}"
        if record.get("dump")
        else "; nothing was dumped before"
    )
    return f"MLflow's tables were upgraded for {record['to_image']}{gap}{kept}"


def _template(
    record: str,
    *,
    labels: dict[str, str],
    image: pulumi.Input[str],
    pods: PodOptions,
    backends: Sequence[pulumi.Input[Credentials]],
    dumps: Dumps | None,
    service_account_name: pulumi.Input[str],
    environment: Mapping[str, pulumi.Input[str]],
) -> k8s.core.v1.PodTemplateSpecArgs:
    """Return the pod, with the record of the last upgrade in ConfigMap ``record``."""
    mount = k8s.core.v1.VolumeMountArgs
    template = python_template(
        "mlflow_kubernetes.migrate",
        labels=labels,
        image=image,
        pods=pods,
        backends=backends,
        seconds=WAIT_SECONDS,
        environment={
            "UPGRADE_IMAGE": image,
            "UPGRADE_RECORD": record,
            "UPGRADE_RECORD_FOLDER": _RECORD_FOLDER,
            "UPGRADE_API_FOLDER": api_access.FOLDER,
            **({"UPGRADE_WORK": database_tools.WORK} if dumps else {}),
            **environment,
        },
        first=_tools(dumps) if dumps else (),
        mounts=[
            api_access.token_mount(),
            mount(name="record", mount_path=_RECORD_FOLDER, read_only=True),
        ],
        volumes=[api_access.token_volume(_FACTS), _record(record)],
        service_account_name=service_account_name,
    )
    return _chain(template, dumps) if dumps else template


def _tools(dumps: Dumps) -> list[k8s.core.v1.ContainerArgs]:
    """Return the containers of rclone's image and of the database's image."""
    image = pulumi.Output.from_input(dumps.target).apply(lambda target: target["rclone_image"])
    return [
        database_tools.tools(image, [_DUMP, _RESTORE]),
        database_tools.dump(dumps.client_image, [_DUMP]),
        database_tools.restore(dumps.client_image, [_RESTORE]),
    ]


def _chain(
    template: k8s.core.v1.PodTemplateSpecArgs, dumps: Dumps
) -> k8s.core.v1.PodTemplateSpecArgs:
    """Return the pod as a chain that dumps the databases, and restores them if an upgrade fails.

    Where no upgrade is needed, the container ``plan`` does all the work, and the others just end.
    """
    spec = cast("k8s.core.v1.PodSpecArgs", template.spec)
    (only,) = cast("list[k8s.core.v1.ContainerArgs]", spec.containers)
    own = cast("pulumi.Input[list[k8s.core.v1.VolumeMountArgs]]", only.volume_mounts)
    last = changed(
        only, volume_mounts=applied(own, lambda known: [*known, *database_tools.mounts()])
    )
    # These images get no token for the Kubernetes API, and no file of a backend.
    tmp = k8s.core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp")  # noqa: S108 (in the pod)
    tools, dump, restore = (
        changed(each, volume_mounts=[*database_tools.mounts(), tmp])
        for each in cast("list[k8s.core.v1.ContainerArgs]", spec.init_containers)
    )
    either = database_tools.when([_DUMP, _RESTORE])
    program = "exec python -m mlflow_kubernetes.migrate"
    planned = changed(last, name="plan", args=["plan"])
    kept = changed(last, name="keep", command=["sh", "-c", f"{either}{program} keep"])
    # An image of a release without the chain does all the work in `plan`, and again here.
    finish = f"[ -e {_DONE} ] || {program} finish"
    volumes = cast("pulumi.Input[list[k8s.core.v1.VolumeArgs]]", spec.volumes)
    return changed(
        template,
        spec=changed(
            spec,
            init_containers=[planned, tools, dump, kept, restore],
            containers=[changed(last, command=["sh", "-c", finish])],
            volumes=applied(volumes, lambda known: [*known, *database_tools.volumes(dumps.target)]),
        ),
    )


def _record(name: str) -> k8s.core.v1.VolumeArgs:
    """Return the volume with the record of the last upgrade: an ordinary run asks no API for it."""
    return k8s.core.v1.VolumeArgs(
        name="record",
        config_map=k8s.core.v1.ConfigMapVolumeSourceArgs(name=name, optional=True),
    )


def _rights(
    name: str,
    server: str,
    *,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
    account: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """Let the Job scale the Deployment of the server, list pods, and keep the record."""
    rule = k8s.rbac.v1.PolicyRuleArgs
    allowed = api_access.rights(
        name,
        [
            rule(
                api_groups=["apps"],
                resources=["deployments/scale"],
                resource_names=[server],
                verbs=["get", "patch"],
            ),
            # Kubernetes cannot restrict a list to names or labels.
            rule(api_groups=[""], resources=["pods"], verbs=["list"]),
            rule(
                api_groups=[""],
                resources=["configmaps"],
                resource_names=[f"{server}-upgrade"],
                verbs=["get", "patch"],
            ),
        ],
        namespace=namespace,
        labels=labels,
        account=account,
        opts=opts,
    )
    way = policy(
        name,
        namespace=namespace,
        labels=labels,
        applies_to=selector(name, "mlflow"),
        egress=[api_access.API_SERVER],
        opts=opts,
    )
    return [*allowed, way]
