"""Builders of pods under the restricted profile, and of Jobs that run the server's image."""

from collections.abc import Callable, Mapping, Sequence
from typing import NotRequired, TypedDict, TypeVar

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.arguments import changed
from .._kubernetes.labels import metadata
from .._kubernetes.pod_options import PodOptions
from .._kubernetes.uris import fingerprint

SERVER_USER = 1000
"""User id in the server image (images/mlflow/Dockerfile)."""

FILES = "/etc/mlflow-kubernetes"
"""Folder in which a pod finds the files of its backends."""
SECONDS_TO_START = 240
"""How long the start of a Job's pod may take, most of it to pull the server's image."""


class Credentials(TypedDict):
    """What a backend publishes: everything that a client of the backend needs."""

    secret: pulumi.Input[str]
    """Name of a Secret whose keys are the variables that MLflow reads. Required because nothing
    else carries a password."""
    fingerprint: pulumi.Input[str]
    """Hash that changes when the content of the Secret changes; no secret itself. Required because
    a pod reads its environment once."""
    more_secrets: NotRequired[list[pulumi.Input[str]]]
    """Names of further Secrets with variables that the client reads. Defaults to none."""
    more_secrets_prefix: NotRequired[str]
    """Prefix of the variables' names of ``more_secrets``. Defaults to nothing."""
    files: NotRequired[list[pulumi.Input[str]]]
    """Names of Secrets whose keys are files that the client reads under ``FILES``. Defaults to
    none."""
    host_aliases: NotRequired[dict[str, list[str]]]
    """Host names that DNS does not know, by address. Defaults to none."""
    service_account: NotRequired[pulumi.Input[str] | None]
    """Service account whose pods the backend lets in. Defaults to the namespace's default account,
    which no backend knows."""
    client_labels: NotRequired[dict[str, str]]
    """Labels of the pods that may reach the backend through the network. Defaults to none."""


T = TypeVar("T")


def of_backends(
    backends: Sequence[pulumi.Input[Credentials]],
    build: Callable[[Sequence[Credentials]], pulumi.Input[T]],
) -> pulumi.Input[T]:
    """Return what ``build`` makes of these backends.

    In a Python program the backends are known, and the result is plain. In a program of another
    language, the credentials of a component are an Output as a whole, and so is the result.
    """
    known: list[Credentials] = [one for one in backends if isinstance(one, dict)]
    if len(known) == len(backends):
        return build(known)
    return pulumi.Output.all(*backends).apply(build)


def restricted_pod(
    container: k8s.core.v1.ContainerArgs,
    *,
    user: int,
    volumes_of: int | None = None,
    first: Sequence[k8s.core.v1.ContainerArgs] = (),
    backends: Sequence[pulumi.Input[Credentials]] = (),
    mounts: list[k8s.core.v1.VolumeMountArgs] | None = None,
    volumes: list[k8s.core.v1.VolumeArgs] | None = None,
    service_account_name: pulumi.Input[str] | None = None,
    grace_seconds: int = 30,
    restart_policy: str = "Always",
) -> k8s.core.v1.PodSpecArgs:
    """Return a pod under Pod Security's profile `restricted`, with a read-only root and `/tmp`.

    The pod has no token for the Kubernetes API.

    Args:
        container: the main container. Without ``env_from``, it gets the backends' variables.
        user: id of the user and of the group that the containers run as.
        volumes_of: id of the group to which the volumes belong; None means ``user``.
        first: init containers, in order. They get the mounts of the main container.
        backends: the backends that the pod reaches. The pod gets their files and host names.
        mounts: mounts of all containers, beside the backends' files and `/tmp`.
        volumes: volumes of these mounts.
        service_account_name: service account; None means the one that a backend lets in, if any.
        grace_seconds: seconds from SIGTERM to SIGKILL.
        restart_policy: `Always`, or `Never` for a Job.
    """
    *before, last = (
        changed(
            each,
            security_context=k8s.core.v1.SecurityContextArgs(
                allow_privilege_escalation=False,
                read_only_root_filesystem=True,
                capabilities=k8s.core.v1.CapabilitiesArgs(drop=["ALL"]),
            ),
            volume_mounts=of_backends(backends, lambda known: _mounts(known, mounts or [])),
        )
        for each in (*first, container)
    )
    environment = secrets_env(backends) if backends and not container.env_from else None
    return k8s.core.v1.PodSpecArgs(
        # A cloud that knows pods by their service account mounts a token of its own.
        service_account_name=service_account_name or service_account(backends),
        automount_service_account_token=False,
        # With service links, a Service called mlflow gives each pod MLFLOW_PORT=tcp://... The
        # server would read that as its --port, and end. MINIO_PORT and others do the same.
        enable_service_links=False,
        security_context=k8s.core.v1.PodSecurityContextArgs(
            run_as_non_root=True,
            run_as_user=user,
            run_as_group=user,
            fs_group=user if volumes_of is None else volumes_of,
            # By default, the kubelet sets the group of each file of a volume at each start.
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=k8s.core.v1.SeccompProfileArgs(type="RuntimeDefault"),
        ),
        termination_grace_period_seconds=grace_seconds,
        restart_policy=restart_policy,
        init_containers=before or None,
        containers=[changed(last, env_from=environment)],
        volumes=of_backends(backends, lambda known: _volumes(known, volumes or [])),
        host_aliases=of_backends(backends, _host_aliases),
    )


def service_account(
    backends: Sequence[pulumi.Input[Credentials]],
) -> pulumi.Input[str | None]:
    """Return the service account that one of the backends lets in; None where none asks for one."""
    return of_backends(backends, _service_account)


def _mounts(
    backends: Sequence[Credentials], own: list[k8s.core.v1.VolumeMountArgs]
) -> list[k8s.core.v1.VolumeMountArgs]:
    """Return a container's mounts: its own, the files of its backends, and ``/tmp``."""
    mount = k8s.core.v1.VolumeMountArgs
    files = [mount(name="files", mount_path=FILES, read_only=True)] if _files(backends) else []
    return [*own, *files, mount(name="tmp", mount_path="/tmp")]  # noqa: S108 (in the pod)


def _volumes(
    backends: Sequence[Credentials], own: list[k8s.core.v1.VolumeArgs]
) -> list[k8s.core.v1.VolumeArgs]:
    """Return a pod's volumes, in the order of ``_mounts``."""
    files = [_folder("files", secrets)] if (secrets := _files(backends)) else []
    scratch = k8s.core.v1.VolumeArgs(name="tmp", empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs())
    return [*own, *files, scratch]


def _service_account(backends: Sequence[Credentials]) -> pulumi.Input[str] | None:
    """Return the service account that one of the backends lets in."""
    accounts = [
        name for backend in backends if (name := backend.get("service_account")) is not None
    ]
    return accounts[0] if accounts else None


def _host_aliases(backends: Sequence[Credentials]) -> list[k8s.core.v1.HostAliasArgs] | None:
    """Return the host names that DNS does not know."""
    aliases = {
        address: names
        for backend in backends
        for address, names in backend.get("host_aliases", {}).items()
    }
    return [
        k8s.core.v1.HostAliasArgs(ip=address, hostnames=names) for address, names in aliases.items()
    ] or None


def _files(backends: Sequence[Credentials]) -> list[pulumi.Input[str]]:
    return [name for backend in backends for name in backend.get("files", [])]


def _secrets(backends: Sequence[Credentials]) -> list[pulumi.Input[str]]:
    return [name for name, _ in _prefixed_secrets(backends)]


def _prefixed_secrets(backends: Sequence[Credentials]) -> list[tuple[pulumi.Input[str], str]]:
    """Return the backends' Secrets, each with the prefix of its variables."""
    return [
        (name, prefix)
        for backend in backends
        for name, prefix in (
            (backend["secret"], ""),
            *(
                (more, backend.get("more_secrets_prefix", ""))
                for more in backend.get("more_secrets", [])
            ),
        )
    ]


def _folder(name: str, secrets: list[pulumi.Input[str]]) -> k8s.core.v1.VolumeArgs:
    """Return one folder with the keys of all these Secrets as files."""
    return k8s.core.v1.VolumeArgs(
        name=name,
        projected=k8s.core.v1.ProjectedVolumeSourceArgs(
            sources=[
                k8s.core.v1.VolumeProjectionArgs(
                    secret=k8s.core.v1.SecretProjectionArgs(name=secret)
                )
                for secret in secrets
            ]
        ),
    )


def fingerprints(backends: Sequence[pulumi.Input[Credentials]]) -> list[pulumi.Input[str]]:
    """Return the fingerprint of each backend's Secrets."""
    return [
        backend["fingerprint"]
        if isinstance(backend, dict)
        else pulumi.Output.all(backend).apply(lambda known: str(known[0]["fingerprint"]))
        for backend in backends
    ]


def restarts_with(*backends: pulumi.Input[Credentials]) -> dict[str, pulumi.Input[str]]:
    """Return the annotation that makes pods restart when one of their backends' Secrets changes."""
    found = fingerprints(backends)
    return {"mlflow-kubernetes/secrets": found[0] if len(found) == 1 else fingerprint(*found)}


def pod_labels(
    labels: pulumi.Input[dict[str, str]], backends: Sequence[pulumi.Input[Credentials]]
) -> pulumi.Input[dict[str, str]]:
    """Return the labels of a pod that reaches these backends."""

    def of_clients(known: Sequence[Credentials]) -> dict[str, str]:
        found = [backend.get("client_labels", {}) for backend in known]
        return {key: value for one in found for key, value in one.items()}

    worn = of_backends(backends, of_clients)
    if isinstance(labels, dict) and isinstance(worn, dict):
        return {**labels, **worn}
    return pulumi.Output.all(labels, worn).apply(lambda both: {**both[0], **both[1]})


def secret_env(name: str, secret: pulumi.Input[str], key: str) -> k8s.core.v1.EnvVarArgs:
    """Return an environment variable whose value stays in its Secret."""
    return k8s.core.v1.EnvVarArgs(
        name=name,
        value_from=k8s.core.v1.EnvVarSourceArgs(
            secret_key_ref=k8s.core.v1.SecretKeySelectorArgs(name=secret, key=key)
        ),
    )


def secrets_env(
    backends: Sequence[pulumi.Input[Credentials]], *, optional: bool | None = None
) -> pulumi.Input[list[k8s.core.v1.EnvFromSourceArgs]]:
    """Return all keys of the backends' Secrets as environment."""

    def sources(known: Sequence[Credentials]) -> list[k8s.core.v1.EnvFromSourceArgs]:
        return [
            secret_source(name, optional=optional, prefix=prefix)
            for name, prefix in _prefixed_secrets(known)
        ]

    return of_backends(backends, sources)


def secret_source(
    secret: pulumi.Input[str], *, optional: bool | None = None, prefix: str = ""
) -> k8s.core.v1.EnvFromSourceArgs:
    """Return all keys of a Secret as environment, with ``prefix`` before each name."""
    return k8s.core.v1.EnvFromSourceArgs(
        prefix=prefix or None,
        secret_ref=k8s.core.v1.SecretEnvSourceArgs(name=secret, optional=optional),
    )


def resources(
    cpu: str,
    memory: pulumi.Input[str],
    *,
    most_cpu: str,
    most_memory: pulumi.Input[str] | None = None,
    most_scratch: str = "2Gi",
) -> k8s.core.v1.ResourceRequirementsArgs:
    """Return requests and limits of a container.

    Args:
        cpu: request of processors.
        memory: request of memory.
        most_cpu: limit of processors. It is above normal use, because a limit that is reached slows
            the container down.
        most_memory: limit of memory; None means ``memory``.
        most_scratch: limit of `/tmp` and of the log together, which are on the node's disk.
    """
    return k8s.core.v1.ResourceRequirementsArgs(
        requests={"cpu": cpu, "memory": memory, "ephemeral-storage": "64Mi"},
        limits={
            "cpu": most_cpu,
            "memory": memory if most_memory is None else most_memory,
            "ephemeral-storage": most_scratch,
        },
    )


def http_probe(
    path: str,
    port: str,
    *,
    period: int,
    failures: int,
    host: str | None = None,
    delay: int | None = None,
) -> k8s.core.v1.ProbeArgs:
    """Return a probe by GET.

    Args:
        path: of the URL.
        port: name of the container's port.
        period: seconds between two calls.
        failures: how many calls in a row fail before the probe does.
        host: Host header, for servers that check the header.
        delay: seconds between the start of the container and the first call.
    """
    headers = [k8s.core.v1.HTTPHeaderArgs(name="Host", value=host)] if host else None
    return k8s.core.v1.ProbeArgs(
        http_get=k8s.core.v1.HTTPGetActionArgs(path=path, port=port, http_headers=headers),
        initial_delay_seconds=delay,
        period_seconds=period,
        timeout_seconds=5,
        failure_threshold=failures,
    )


def exec_probe(command: list[str], *, period: int, failures: int) -> k8s.core.v1.ProbeArgs:
    """Return a probe by a command in the container.

    Each start of a command takes processor time. With a readiness probe every 5 s, a pod of
    PostgreSQL at rest took 0.04 cores, of MySQL and of a daemon of HDFS 0.07 (on 2 slow cores,
    2026-11-27).
    """
    return k8s.core.v1.ProbeArgs(
        exec_=k8s.core.v1.ExecActionArgs(command=command),
        period_seconds=period,
        timeout_seconds=5,
        failure_threshold=failures,
    )


def python_job(
    name: str,
    *,
    module: str,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
    image: pulumi.Input[str],
    pods: PodOptions,
    backends: Sequence[pulumi.Input[Credentials]],
    seconds: int,
    retries: int = 2,
    environment: Mapping[str, pulumi.Input[str]] | None = None,
    opts: pulumi.ResourceOptions,
) -> k8s.batch.v1.Job:
    """Make a Job that runs one module of the server's image.

    A changed image or Secret replaces the Job, which then runs again. The Job has no
    ``ttlSecondsAfterFinished``: after a refresh, the next ``up`` would make a Job again that
    Kubernetes has removed.

    Args:
        name: name of the Job.
        module: the module.
        namespace: namespace of the Job.
        labels: labels of the Job and its pods.
        image: the server's image.
        pods: what the platform demands of the pods.
        backends: the backends that the pods reach.
        seconds: how long the module waits for its backends. The Job may take ``SECONDS_TO_START``
            more.
        retries: number of further attempts after a failure.
        environment: more variables.
        opts: options of the Job.
    """
    return k8s.batch.v1.Job(
        name,
        # Without the annotation, a Job that failed for good would fail every later `up`.
        metadata=metadata(name, namespace, labels, {"pulumi.com/replaceUnready": "true"}),
        spec=k8s.batch.v1.JobSpecArgs(
            backoff_limit=retries,
            active_deadline_seconds=seconds + SECONDS_TO_START,
            template=python_template(
                module,
                labels=labels,
                image=image,
                pods=pods,
                backends=backends,
                seconds=seconds,
                environment=environment,
            ),
        ),
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                custom_timeouts=pulumi.CustomTimeouts(create=f"{seconds + SECONDS_TO_START + 30}s")
            ),
        ),
    )


def python_template(
    module: str,
    *,
    arguments: Sequence[pulumi.Input[str]] = (),
    labels: dict[str, str],
    image: pulumi.Input[str],
    pods: PodOptions,
    backends: Sequence[pulumi.Input[Credentials]],
    seconds: int,
    environment: Mapping[str, pulumi.Input[str]] | None = None,
    user: int = SERVER_USER,
    first: Sequence[k8s.core.v1.ContainerArgs] = (),
    mounts: list[k8s.core.v1.VolumeMountArgs] | None = None,
    volumes: list[k8s.core.v1.VolumeArgs] | None = None,
    service_account_name: pulumi.Input[str] | None = None,
    most_scratch: str = "2Gi",
    most_memory: str = "512Mi",
) -> k8s.core.v1.PodTemplateSpecArgs:
    """Return the template of a pod that runs one module of the server's image once.

    Args:
        module: the module.
        arguments: arguments of the module.
        labels: labels of the pod.
        image: the server's image.
        pods: what the platform demands of the pod.
        backends: the backends that the pod reaches.
        seconds: how long the module waits for its backends.
        environment: more variables.
        user: id of the user that the containers run as.
        first: init containers, in order.
        mounts: mounts of all containers, beside the backends' files and `/tmp`.
        volumes: volumes of these mounts.
        service_account_name: service account; None means the one that a backend lets in, if any.
        most_scratch: limit of what the module writes to the node's disk.
        most_memory: limit of the module's memory.
    """
    variables: dict[str, pulumi.Input[str]] = {
        "TIMEOUT_SECONDS": str(seconds),
        "SECRETS_READ": pulumi.Output.all(of_backends(backends, _secrets)).apply(
            lambda known: " and ".join(known[0])
        ),
        "HOME": "/tmp",  # noqa: S108 (in the pod)
        **(environment or {}),
    }
    container = k8s.core.v1.ContainerArgs(
        name="job",
        image=image,
        command=["python", "-m", module],
        args=[*arguments] or None,
        env=[k8s.core.v1.EnvVarArgs(name=key, value=value) for key, value in variables.items()],
        # Optional: the program reports a Secret that is missing, in one line. Without `optional`,
        # the pod would wait for the Secret.
        env_from=secrets_env(backends, optional=True),
        resources=resources(
            "100m", "256Mi", most_cpu="2", most_memory=most_memory, most_scratch=most_scratch
        ),
        # Copies the last lines of the log, which have the reason of a failure, to the pod's status.
        termination_message_policy="FallbackToLogsOnError",
    )
    return pods.on_job(
        k8s.core.v1.PodTemplateSpecArgs(
            metadata=k8s.meta.v1.ObjectMetaArgs(
                labels=pod_labels(labels, backends), annotations=restarts_with(*backends)
            ),
            spec=restricted_pod(
                container,
                user=user,
                # Jobs of different users share the backup volume, whose group must not change.
                volumes_of=SERVER_USER,
                first=first,
                backends=backends,
                mounts=mounts,
                volumes=volumes,
                service_account_name=service_account_name,
                restart_policy="Never",
            ),
        )
    )


def once_done(resource: pulumi.Resource, value: pulumi.Input[str]) -> pulumi.Output[str]:
    """Return ``value`` as an Output that is known when the resource exists (a Job: has succeeded).

    A resource that takes the Output comes after ``resource``, and does not depend on it in Pulumi's
    state. With a dependency, Pulumi would delete a running server before it replaces the Job.
    """
    known = pulumi.Output.from_input(value)
    waited = pulumi.Output.all(known, resource.urn).apply(lambda both: str(both[0]))

    async def when_done() -> str:
        return str(await waited.future())

    return pulumi.Output(known.resources(), when_done(), waited.is_known(), waited.is_secret())
