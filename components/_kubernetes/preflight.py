"""What reaches a backend outside the stack: handed on only when a Job has used it with success."""

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
"""How long a check waits for an answer; with the pod's own start it is over within a minute."""


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
    """Return credentials of ``variables``, ``files`` and ``existing`` Secrets, after a check.

    ``reached_by`` are the paths through the network to the backend.
    ``existing_files`` are Secrets whose keys are files.

    What is checked has Secrets and a path of its own. The server's are written when the check has
    passed: until then a server still finds, and reaches, what worked. Existing Secrets belong to
    somebody else, so that only their names count in the fingerprint.
    """
    files = files or {}
    common = labels(name, "mlflow", role)
    # A password that somebody chose could be guessed from a hash of it alone.
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
        # What did not answer in all that time is told now, rather than minutes later.
        retries=0,
        environment=environment,
        opts=after(opts, path(trial, opts)),
    )
    checked = after(opts, check)
    accepted = credentials("credentials", name, checked)
    # Whoever reads a Secret comes after the check, also where the Secret was there before.
    accepted["secret"] = once_done(path(name, checked), accepted["secret"])
    return accepted
