"""The Deployment that copies PostgreSQL's write-ahead log (WAL) to the backup target."""

import pulumi
import pulumi_kubernetes as k8s

from ._kubernetes import database_tools
from ._kubernetes.labels import labels, metadata, selector
from ._kubernetes.pod_options import PodOptions
from ._kubernetes.pods import (
    Credentials,
    exec_probe,
    pod_labels,
    resources,
    restarts_with,
    restricted_pod,
    secrets_env,
)

_MODULE = "mlflow_kubernetes.backup.archive"
_BEHIND_SECONDS = 300
MOST_RECEIVED = "8Gi"
"""Most that the log may take of the node's disk while the target cannot be reached."""
RECEIVE = r"""set -u
umask 077
export LC_ALL=C
trap 'kill $! 2> /dev/null; exit' TERM
while :; do
  if system=$(psql -wXqAtc IDENTIFY_SYSTEM replication=true); then
    folder=$1/${system%%|*}
    mkdir -p "$folder"
    # Unanswered, a connection to a server that is gone would be kept for a quarter of an hour.
    pg_receivewal -wn --synchronous --directory="$folder" --dbname=tcp_user_timeout=30000 \
      2> /tmp/said &
    wait $!
    cat /tmp/said >&2
    if grep -q 'already been removed' /tmp/said; then
      echo "the archive has a gap: the next backup begins it anew" >&2
      # The program beside this one takes what is here, and removes it.
      touch "$folder/gap"
      while [ -e "$folder/gap" ]; do
        sleep 1 &
        wait $!
      done
    fi
  fi
  sleep 5 &
  wait $!
done
"""
"""Writes the log of the server to a folder named by the server's system identifier, below the
folder that is the first argument. It goes on after the last segment that is there."""
_HANGS_SECONDS = 3600


def wal_archive(
    name: str,
    *,
    namespace: pulumi.Input[str],
    image: pulumi.Input[str],
    client_image: pulumi.Input[str],
    rclone_image: pulumi.Input[str],
    pods: PodOptions,
    replication: pulumi.Input[Credentials],
    target: list[pulumi.Input[Credentials]],
    opts: pulumi.ResourceOptions,
) -> None:
    """Make the Deployment ``name`` of one pod.

    Args:
        name: name of the Deployment.
        namespace: the namespace of the objects.
        image: the server's image.
        client_image: the image of the database server.
        rclone_image: the image of rclone.
        pods: what the platform demands of the pods.
        replication: the login that may read the log.
        target: the backup target, and the artifact store where that is the target.
        opts: options of the object.
    """
    worn = labels(name, "mlflow", "backup")
    backends = [*target, replication]

    def container(step: str, *arguments: str) -> k8s.core.v1.ContainerArgs:
        return k8s.core.v1.ContainerArgs(
            name=step,
            image=image,
            command=["python", "-m", _MODULE],
            args=[*arguments] or None,
            env=[k8s.core.v1.EnvVarArgs(name="HOME", value="/tmp")],  # noqa: S108 (in the pod)
            env_from=secrets_env(backends, optional=True),
            resources=resources("50m", "128Mi", most_cpu="1", most_memory="512Mi"),
            termination_message_policy="FallbackToLogsOnError",
        )

    receive = k8s.core.v1.ContainerArgs(
        name="receive",
        image=client_image,
        command=["sh", "-c", RECEIVE, "receive", f"{database_tools.WORK}/wal"],
        env_from=secrets_env([replication]),
        # It runs beside the containers after it, and ends after them.
        restart_policy="Always",
        resources=resources("50m", "64Mi", most_cpu="1", most_scratch=MOST_RECEIVED),
    )
    archive = container("archive")
    archive.startup_probe = exec_probe(_touched("alive", _HANGS_SECONDS), period=1, failures=60)
    # Ready means: the archive has all that was committed some minutes ago. Alive means: each copy
    # ends within an hour.
    archive.readiness_probe = exec_probe(
        _touched("current", _BEHIND_SECONDS), period=10, failures=1
    )
    archive.liveness_probe = exec_probe(_touched("alive", _HANGS_SECONDS), period=60, failures=2)
    work = k8s.core.v1.VolumeMountArgs(name="work", mount_path=database_tools.WORK)
    volume = k8s.core.v1.VolumeArgs(
        name="work", empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs(size_limit=MOST_RECEIVED)
    )
    k8s.apps.v1.Deployment(
        name,
        # A target that is away must not fail an `up` of the servers.
        metadata=metadata(name, namespace, worn, {"pulumi.com/skipAwait": "true"}),
        spec=k8s.apps.v1.DeploymentSpecArgs(
            replicas=1,
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector(name, "mlflow")),
            # Two pods must not write the archive at the same time.
            strategy=k8s.apps.v1.DeploymentStrategyArgs(type="Recreate"),
            template=pods.on_job(
                k8s.core.v1.PodTemplateSpecArgs(
                    metadata=k8s.meta.v1.ObjectMetaArgs(
                        labels=pod_labels(worn, backends),
                        annotations=restarts_with(*backends),
                    ),
                    spec=restricted_pod(
                        archive,
                        user=database_tools.DATABASE_USER,
                        first=[
                            database_tools.tools(rclone_image),
                            container("resume", "resume"),
                            receive,
                        ],
                        backends=backends,
                        mounts=[work],
                        volumes=[volume],
                    ),
                )
            ),
        ),
        opts=opts,
    )


def _touched(file: str, seconds: int) -> list[str]:
    """Return a command that fails if a file in ``/tmp`` is older than ``seconds``."""
    return ["sh", "-c", f"[ $(($(date +%s) - $(stat -c %Y /tmp/{file}))) -lt {seconds} ]"]
