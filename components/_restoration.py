"""The suspended CronJob that restores a backup: `make restore` makes Jobs from it."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from ._kubernetes import database_tools
from ._kubernetes.cron_jobs import cron_job
from ._kubernetes.labels import labels
from ._kubernetes.pod_options import PodOptions
from ._kubernetes.pods import Credentials, python_template, resources, secrets_env
from .contracts import BackupTarget

RESTORE_SECONDS = 12 * 3600
"""How long a restore may take: it copies all artifacts."""
WAIT_SECONDS = 120
_MODULE = "mlflow_kubernetes.backup.restore"
_VARIABLES: Mapping[str, str] = {"RESTORE_FROM": "", "RESTORE_OVERWRITE": ""}
"""Variables that `make restore` sets: name of the backup, and `yes` if data may be replaced."""
_MOMENT: Mapping[str, str] = {"RESTORE_AT": ""}
"""Variable with the moment after the backup to restore, with `point_in_time`."""


def restoration(
    server: str,
    *,
    namespace: pulumi.Input[str],
    image: pulumi.Input[str],
    client_image: pulumi.Input[str],
    pods: PodOptions,
    database: pulumi.Input[Credentials],
    artifacts: pulumi.Input[Credentials],
    login: Sequence[pulumi.Input[Credentials]],
    target: pulumi.Input[BackupTarget],
    recovers: bool,
    environment: Mapping[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
) -> None:
    """Make the CronJob ``<server>-restore``.

    A Job of the CronJob changes nothing, unless the Job's variable ``RESTORE_FROM`` names a backup.
    All servers have to be stopped then.

    Args:
        server: name of the tracking server.
        namespace: the namespace of all objects.
        image: the server's image.
        client_image: image with the database's own programs.
        pods: what the platform demands of the pods.
        database: the backend store.
        artifacts: the artifact store.
        login: the keys of this stack, and the passwords of the stack's own users.
        target: where backups are kept.
        recovers: whether moments between two backups can be brought back.
        environment: variables of the server that the migration needs too.
        opts: options of the object.
    """
    name = f"{server}-restore"
    worn = labels(name, "mlflow", "restore")
    backends = [database, artifacts, *login, target]
    rclone = pulumi.Output.all(target).apply(lambda known: str(known[0]["rclone_image"]))
    of_people = {**_VARIABLES, **(_MOMENT if recovers else {})}
    variables = {
        "HOME": "/tmp",  # noqa: S108 (in the pod)
        "TIMEOUT_SECONDS": str(WAIT_SECONDS),
        **of_people,
    }
    # rclone holds pieces of several artifacts in memory.
    fetch = k8s.core.v1.ContainerArgs(
        name="fetch",
        image=image,
        command=["python", "-m", _MODULE, "fetch"],
        env=[k8s.core.v1.EnvVarArgs(name=key, value=value) for key, value in variables.items()],
        env_from=secrets_env(backends, optional=True),
        resources=resources(
            "100m",
            "256Mi",
            most_cpu="2",
            most_memory="1Gi",
            most_scratch=database_tools.MOST_WORK,
        ),
        termination_message_policy="FallbackToLogsOnError",
    )
    cron_job(
        name,
        namespace=namespace,
        labels=worn,
        seconds=RESTORE_SECONDS,
        template=python_template(
            _MODULE,
            arguments=["finish"],
            labels=worn,
            image=image,
            pods=pods,
            backends=backends,
            seconds=WAIT_SECONDS,
            environment={**of_people, **environment},
            first=[
                database_tools.prepare(image, [database]),
                database_tools.tools(rclone),
                fetch,
                *([database_tools.recover(client_image)] if recovers else []),
                database_tools.restore(client_image),
            ],
            mounts=database_tools.mounts(),
            volumes=database_tools.volumes(target),
            most_scratch=database_tools.MOST_WORK,
        ),
        opts=opts,
    )
