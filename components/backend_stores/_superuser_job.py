"""A Job in which PostgreSQL's superuser runs a script of `psql`, in the server's own image."""

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes import database_tools
from .._kubernetes.labels import labels, metadata
from .._kubernetes.pod_options import PodOptions
from .._kubernetes.pods import Credentials, pod_labels, resources, restricted_pod

SUPERUSER = "postgres"
_SECONDS = 360


def superuser_job(
    name: str,
    script: str,
    *,
    container: str,
    image: pulumi.Input[str],
    host: pulumi.Input[str],
    environment: Sequence[k8s.core.v1.EnvVarArgs],
    login: Credentials,
    namespace: pulumi.Input[str],
    pods: PodOptions,
    opts: pulumi.ResourceOptions,
) -> k8s.batch.v1.Job:
    """Make the Job, which runs again when what it reads changes.

    Args:
        name: name of the Job.
        script: a script of `sh`. A second run of it changes nothing.
        container: name of the container.
        image: the server's image.
        host: name of the server's Service.
        environment: the superuser's password, and what else the script reads.
        login: the Secret that the script puts into force, with the labels that let the pod in.
        namespace: the namespace of the Job.
        pods: what the platform demands of the pod.
        opts: options of the Job.
    """
    worn = labels(name, "postgres", "backend-store")
    program = k8s.core.v1.ContainerArgs(
        name=container,
        image=image,
        command=["sh", "-c", script],
        env=[
            k8s.core.v1.EnvVarArgs(name="PGHOST", value=host),
            k8s.core.v1.EnvVarArgs(name="PGUSER", value=SUPERUSER),
            *environment,
        ],
        resources=resources("100m", "64Mi", most_cpu="1"),
        termination_message_policy="FallbackToLogsOnError",
    )
    template = k8s.core.v1.PodTemplateSpecArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(
            labels=pod_labels(worn, [login]),
            annotations={"mlflow-kubernetes/secrets": login["fingerprint"]},
        ),
        spec=restricted_pod(program, user=database_tools.DATABASE_USER, restart_policy="Never"),
    )
    timeouts = pulumi.CustomTimeouts(create=f"{_SECONDS + 30}s")
    return k8s.batch.v1.Job(
        name,
        # Without the annotation, a Job that failed for good would fail every later `up`.
        metadata=metadata(name, namespace, worn, {"pulumi.com/replaceUnready": "true"}),
        spec=k8s.batch.v1.JobSpecArgs(
            backoff_limit=2, active_deadline_seconds=_SECONDS, template=pods.on_job(template)
        ),
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(custom_timeouts=timeouts)),
    )
