"""The ingress controller: Traefik in a pod, with the class and namespace of minikube's addon.

Traefik heeds the class and the annotations of ingress-nginx. Its pod takes ports 80 and 443 of the
node, and is in the namespace ``ingress-nginx``, as the addon's pod is.
"""

import socket

from lab import paths
from lab.tools import program

NAMESPACE = "ingress-nginx"
_NAME = "traefik"
_CLASS = "nginx"
_CONTROLLER = "k8s.io/ingress-nginx"
_LABELS = {"app.kubernetes.io/instance": _NAME}
_METADATA = {"name": _NAME, "namespace": NAMESPACE}
_PORTS = {"web": 80, "websecure": 443}
_RIGHTS = "rbac.authorization.k8s.io"
# Secrets hold the certificates.
_READ = {
    "": ["services", "secrets", "configmaps"],
    "discovery.k8s.io": ["endpointslices"],
    "networking.k8s.io": ["ingresses", "ingressclasses"],
}


def listens() -> bool:
    """Tell whether the controller accepts connections on the node's port 80."""
    try:
        socket.create_connection((paths.NODE_ADDRESS, _PORTS["web"]), timeout=1).close()
    except OSError:
        return False
    return True


def objects(image: str) -> list[dict[str, object]]:
    """Return the controller's objects as manifests.

    Args:
        image: Any image that the node holds: the program is mounted into the container.
    """
    role = {"apiGroup": _RIGHTS, "kind": "ClusterRole", "name": _NAME}
    rules = [
        {"apiGroups": [group], "resources": kinds, "verbs": ["list", "watch"]}
        for group, kinds in _READ.items()
    ]
    status = {"resources": ["ingresses/status"], "verbs": ["update"]}
    rules.append({"apiGroups": ["networking.k8s.io"], **status})
    account = {"kind": "ServiceAccount", **_METADATA}
    default = {"ingressclass.kubernetes.io/is-default-class": "true"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": _CLASS, "annotations": default},
            "spec": {"controller": _CONTROLLER},
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _METADATA},
        {
            "apiVersion": f"{_RIGHTS}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": _NAME},
            "rules": rules,
        },
        {
            "apiVersion": f"{_RIGHTS}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": _NAME},
            "roleRef": role,
            "subjects": [account],
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": _METADATA,
            "spec": {
                "selector": {"matchLabels": _LABELS},
                # Two pods cannot have the node's ports at once.
                "strategy": {"type": "Recreate"},
                "template": {"metadata": {"labels": _LABELS}, "spec": _pod(image)},
            },
        },
    ]


def _pod(image: str) -> dict[str, object]:
    traefik = program("traefik").resolve()
    return {
        "serviceAccountName": _NAME,
        "containers": [
            {
                "name": _NAME,
                "image": image,
                "command": ["/program/traefik", *_arguments()],
                "ports": [
                    {"name": name, "containerPort": port, "hostPort": port}
                    for name, port in _PORTS.items()
                ],
                # The user root, for the cache's folders may be root's alone; with no right of it.
                "securityContext": {
                    "runAsUser": 0,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                "volumeMounts": [
                    {"name": "program", "mountPath": "/program", "readOnly": True},
                    # Bodies that an annotation asks to buffer.
                    {"name": "temporary", "mountPath": "/tmp"},  # noqa: S108 (the pod's own)
                ],
            }
        ],
        "volumes": [
            {"name": "program", "hostPath": {"path": str(traefik.parent)}},
            {"name": "temporary", "emptyDir": {}},
        ],
    }


def _arguments() -> list[str]:
    provider = "--providers.kubernetesingressnginx"
    points = [
        argument
        for name, port in _PORTS.items()
        for argument in (
            f"--entrypoints.{name}.address=:{port}",
            # By default an upload is cut off after 60 s.
            f"--entrypoints.{name}.transport.respondingtimeouts.readtimeout=0",
        )
    ]
    return [
        *points,
        provider,
        f"{provider}.ingressclass={_CLASS}",
        f"{provider}.controllerclass={_CONTROLLER}",
        f"{provider}.httpentrypoint=web",
        f"{provider}.httpsentrypoint=websecure",
        # Pulumi waits for an address in the status of an Ingress.
        f"{provider}.publishstatusaddress={paths.NODE_ADDRESS}",
        "--accesslog",
        # Nothing leaves the machine.
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    ]
