"""Access of a pod to the Kubernetes API: an account, rights, a token, and the network path."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.labels import metadata
from .._kubernetes.network_policies import CLOUDS, Path, networks

FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Folder in which clients of the API look for the token."""
# A policy is applied after the Service's address was replaced by the API server's own, which may be
# any address. The ports are those of clouds, of kubeadm, k3s and kind, and of minikube.
API_SERVER = Path(networks("0.0.0.0/0", "::/0", without=CLOUDS), tcp=(443, 6443, 8443))
"""The way to the API server."""
_VOLUME = "api"


def own_account(
    name: str,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """Make a service account of the pods' own; return its name."""
    account = k8s.core.v1.ServiceAccount(
        f"{name}-account",
        metadata=metadata(name, namespace, labels),
        automount_service_account_token=False,
        opts=opts,
    )
    return account.metadata.apply(lambda made: made.name or "")


def rights(
    name: str,
    rules: Sequence[k8s.rbac.v1.PolicyRuleArgs],
    *,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
    account: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """Give an account these rights in its namespace.

    Args:
        name: name of the Role and of its binding.
        rules: the rights.
        namespace: the namespace.
        labels: labels of both objects.
        account: name of the account.
        opts: options of both objects.
    """
    role = k8s.rbac.v1.Role(
        f"{name}-role", metadata=metadata(name, namespace, labels), rules=[*rules], opts=opts
    )
    binding = k8s.rbac.v1.RoleBinding(
        f"{name}-role-binding",
        metadata=metadata(name, namespace, labels),
        role_ref=k8s.rbac.v1.RoleRefArgs(
            api_group="rbac.authorization.k8s.io", kind="Role", name=name
        ),
        subjects=[
            k8s.rbac.v1.SubjectArgs(kind="ServiceAccount", name=account, namespace=namespace)
        ],
        opts=opts,
    )
    return [role, binding]


def token_mount() -> k8s.core.v1.VolumeMountArgs:
    """Return the mount of the token."""
    return k8s.core.v1.VolumeMountArgs(name=_VOLUME, mount_path=FOLDER, read_only=True)


def token_volume(facts: Mapping[str, str] | None = None) -> k8s.core.v1.VolumeArgs:
    """Return the volume with a token for the API, for the containers that mount it.

    Args:
        facts: further files with fields of the pod, such as ``metadata.namespace``, by their names.
    """
    source = k8s.core.v1.VolumeProjectionArgs
    field = k8s.core.v1.ObjectFieldSelectorArgs
    file = k8s.core.v1.DownwardAPIVolumeFileArgs
    sources = [
        source(
            service_account_token=k8s.core.v1.ServiceAccountTokenProjectionArgs(
                path="token", expiration_seconds=3600
            )
        ),
        # Kubernetes keeps this ConfigMap in every namespace.
        source(
            config_map=k8s.core.v1.ConfigMapProjectionArgs(
                name="kube-root-ca.crt",
                items=[k8s.core.v1.KeyToPathArgs(key="ca.crt", path="ca.crt")],
            )
        ),
    ]
    if facts:
        items = [file(path=name, field_ref=field(field_path=path)) for name, path in facts.items()]
        sources.append(source(downward_api=k8s.core.v1.DownwardAPIProjectionArgs(items=items)))
    return k8s.core.v1.VolumeArgs(
        name=_VOLUME, projected=k8s.core.v1.ProjectedVolumeSourceArgs(sources=sources)
    )
