"""Former logins of a database whose superuser no Job reaches: they end themselves.

A login of MySQL may change its own password, and end its own sessions, without any right. When all
tracking servers are new, the Job `rotation` logs in as each former login, and does both.
"""

import json
from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.labels import labels, metadata
from .._kubernetes.network_policies import client_labels
from .._kubernetes.pods import Credentials
from .._kubernetes.uris import fingerprint


def former_logins(
    name: str,
    app: str,
    passwords: Mapping[str, pulumi.Output[str]],
    *,
    host: pulumi.Output[str],
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> Credentials:
    """Make the Secret ``<name>-rotation`` with the former logins, and return it.

    Args:
        name: name of the server.
        app: name of the program.
        passwords: the password of each former login, by the login's name.
        host: name of the server's Service. Known when the server has the new login.
        namespace: the namespace of the Secret.
        opts: options of the Secret.
    """
    names = [*passwords]
    logins = pulumi.Output.all(*passwords.values()).apply(
        lambda known: json.dumps(dict(zip(names, known, strict=True)))
    )
    secret = k8s.core.v1.Secret(
        f"{name}-rotation",
        metadata=metadata(f"{name}-rotation", namespace, labels(name, app, "backend-store")),
        string_data={"DATABASE_FORMER_LOGINS": logins},
        opts=opts,
    )
    return {
        "secret": secret.metadata.name,
        "fingerprint": fingerprint(*passwords.values(), host),
        "client_labels": client_labels(name),
    }
