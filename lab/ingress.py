"""The ingress controller: Traefik in a pod, with the class and namespace of minikube's addon.

Traefik heeds the class and the annotations of ingress-nginx. Its pod takes ports 80 and 443 of the
node, and is in the namespace ``ingress-nginx``, as the addon's pod is. `manifests.yaml` has it all.
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
