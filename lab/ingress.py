"""The ingress controller: Traefik in a pod, with the class and namespace of minikube's addon.

Traefik obeys the class and the annotations of ingress-nginx. Like the addon's pod, Traefik's pod
listens at ports 80 and 443 of the node, and is in the namespace ``ingress-nginx``. All objects of
Traefik are in `manifests.yaml`.
"""

import socket

from lab import paths

NAMESPACE = "ingress-nginx"


def listens() -> bool:
    """Tell whether the controller accepts connections on the node's port 80."""
    try:
        socket.create_connection((paths.NODE_ADDRESS, 80), timeout=1).close()
    except OSError:
        return False
    return True
