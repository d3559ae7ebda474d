"""Credentials of a backend outside the stack, published after a Job has used them with success."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.labels import labels, metadata
from .._kubernetes.network_policies import Path, after, client_labels, client_policy
from .._kubernetes.pod_options import PodOptions
from .._kubernetes.pods import Credentials, once_done, python_job
from .._kubernetes.retention import RetentionArgs, generated_password
from .._kubernetes.uris import fingerprint

CHECK_SECONDS = 15
"""How long a check waits for an answer. With the start of its pod, that is a minute at most."""


def checked_credentials(
    name: str,
    *,
    module: str,
    namespace: pulumi.Input[str],
    role: str,
    image: pulumi.Input[str],
    pods: PodOptions,
    reached_by: Sequence[Path],
    variables: Mapping[str, pulumi.Input[str]],
    files: Mapping[str, pulumi.Input[str]] | None = None,
    existing: Sequence[pulumi.Input[str]] = (),
    existing_files: Sequence[pulumi.Input[str]] = (),
    host_aliases: Mapping[str, list[str]] | None = None,
    service_account: pulumi.Input[str] | None = None,
    environment: Mapping[str, pulumi.Input[str]] | None = None,
    retention: RetentionArgs,
    opts: pulumi.ResourceOptions,
) -> Credentials:
    """Return credentials of a backend, which are known when a Job has checked the backend.

    The check has Secrets and a network policy of its own. The server's Secrets and policy are
    written after the check. Until then, a running server keeps the settings that worked. The
    program cannot read Secrets that exist, so the fingerprint has only their names.

    Args:
        name: name of the backend's objects.
        module: program of the server's image that checks the backend.
        namespace: namespace of all objects.
        role: value of the label `app.kubernetes.io/component`.
        image: the server's image.
        pods: what the platform demands of the Job's pods.
        reached_by: the paths through the network to the backend.
        variables: variables of the backend's clients; they become a Secret.
        files: files of the backend's clients, by name; they become a Secret.
        existing: names of Secrets that exist, whose keys are variables.
        existing_files: names of Secrets that exist, whose keys are files.
        host_aliases: host names that DNS does not know, by address.
        service_account: service account that the backend lets in.
        environment: more variables of the check alone.
        retention: what becomes of the salt of the fingerprint.
        opts: options of each object.
    """
    files = files or {}
    common = labels(name, "mlflow", role)
    # Without a salt, a password that a person chose could be guessed from its hash.
    salt = generated_password(f"{name}-salt", 32, retention, opts)
    named = [*existing, *existing_files]
    parts = [*variables.items(), *files.items(), *(("", secret) for secret in named)]
    digest = fingerprint(salt, *(part for pair in parts for part in pair))

    def credentials(suffix: str, client: str, opts: pulumi.ResourceOptions) -> Credentials:
        def secret(kind: str, content: Mapping[str, pulumi.Input[str]]) -> list[pulumi.Input[str]]:
            if not content:
                return []
            made = k8s.core.v1.Secret(
                f"{name}-{suffix}{kind}",
                metadata=metadata(f"{name}-{suffix}{kind}", namespace, common),
                string_data=content,
                opts=opts,
            )
            return [made.metadata.name]

        names = [*secret("", variables), *existing]
        return {
            "secret": names[0],
            "more_secrets": names[1:],
            "files": [*secret("-files", files), *existing_files],
            "host_aliases": dict(host_aliases or {}),
            "service_account": service_account,
            "client_labels": client_labels(client),
            "fingerprint": digest,
        }

    def path(client: str, opts: pulumi.ResourceOptions) -> pulumi.Resource:
        return client_policy(
            client, namespace=namespace, labels=common, egress=reached_by, opts=opts
        )

    trial = f"{name}-check"
    check = python_job(
        trial,
        module=module,
        namespace=namespace,
        labels=labels(trial, "mlflow", role),
        image=image,
        pods=pods,
        backends=[credentials("check", trial, opts)],
        seconds=CHECK_SECONDS,
        # A second attempt would report the failure minutes later.
        retries=0,
        environment=environment,
        opts=after(opts, path(trial, opts)),
    )
    checked = after(opts, check)
    accepted = credentials("credentials", name, checked)
    # A pod that reads the Secret then comes after the check, also where the Secret existed before.
    accepted["secret"] = once_done(path(name, checked), accepted["secret"])
    return accepted
