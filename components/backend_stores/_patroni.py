"""What the members of a PostgreSQL need beside the server's own objects, and their pod.

Patroni (https://patroni.readthedocs.io) runs in each member's pod (images/patroni). It starts and
stops the server there, has the members follow the one that takes the writes, the primary, and makes
another one the primary if that one is lost. Its store is the Kubernetes API: it keeps a record of
the members in the annotations of four ConfigMaps.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes import api_access
from .._kubernetes.labels import metadata, selector
from .._kubernetes.network_policies import Path, pods
from .._kubernetes.pods import http_probe, secret_env
from .._kubernetes.retention import generated_password
from ..backend_stores._server import Place, Sizes

PORT = 8008
"""Port of Patroni's REST API, by which members and probes ask."""
PORT_NAME = "patroni"
"""By this name of a port, a member knows a pod of members from that of a single server."""
ROLE = "mlflow-kubernetes/role"
"""Label that Patroni gives the members' pods. The names of labels begin with the project's own
prefix, so that no option of a user sets this one."""
PRIMARY = "primary"
"""Value of the label of the member that takes the writes."""
NUMBERS = (1, 3, 5)
"""How many members are accepted. An even number survives the loss of no more members than the odd
number below it."""
MINUTES = 30
"""How long `pulumi up` waits for the members, each of which copies all data at first."""
DRIVER_OPTIONS = {
    # A member becomes reachable as the primary some tenths of a second before it takes writes. A
    # connection made meanwhile would fail each write, with an error that clients do not repeat.
    "target_session_attrs": "read-write",
    # A node that is lost sends no reset. The limit for a single server is 25 s, in which another
    # member has long become the primary.
    "keepalives_idle": "4",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    # Until a new primary has the Service, connections go to the lost one.
    "connect_timeout": "3",
}
"""Options of the driver of the database's clients (libpq)."""

_LOGINS = {"REPLICATION": "member", "REWIND": "rewinder", "RESTAPI": "patroni"}
"""Names of the members' own logins, by the name in Patroni's variables: two roles of the database,
which copy the primary's data and log, and the user of the REST API."""
_RECORD = ("config", "failover", "leader", "sync")
"""The ConfigMaps of the record: what follows the server's name in theirs."""
_SCOPE_LABEL = "app.kubernetes.io/instance"
_MEBIBYTES = 128
"""What Patroni takes beside the server, with some room."""
# Patroni refuses fewer.
_LEAST_CONNECTIONS = 25
# Patroni asks for loop_wait + 2 * retry_timeout <= ttl, and for a ttl of at least 20. At the worst,
# the next write comes after ttl, loop_wait, a second for the change of the primary, and 3 s for a
# connection to the lost one: before 30 s are over.
_TIMES = {"ttl": 20, "loop_wait": 3, "retry_timeout": 5}
"""Seconds: until a primary that says nothing counts as lost; between two rounds; and for which one
question is repeated."""


@dataclass(frozen=True)
class Patroni:
    """What the pods of the members need."""

    account: pulumi.Input[str]
    """Name of the service account with the rights."""
    secret: pulumi.Output[str]
    """Name of the Secret with the passwords of the members themselves."""
    passwords: Sequence[pulumi.Output[str]]
    made: Sequence[pulumi.Resource]
    """What the pods come after."""


def patroni(place: Place, members: int) -> Patroni:
    """Make the record, the rights and the passwords of the members.

    Args:
        place: where they are made.
        members: number of the members.
    """
    name, namespace, opts = place.name, place.namespace, place.opts
    passwords = {
        login: generated_password(
            f"{name}-members-{login.lower()}-password", 32, place.retention, opts
        )
        for login in _LOGINS
    }
    secret = k8s.core.v1.Secret(
        f"{name}-members",
        metadata=metadata(f"{name}-members", namespace, place.labels),
        string_data={f"{login}_PASSWORD": value for login, value in passwords.items()},
        opts=opts,
    )
    # Where a cloud knows the pods by a service account, that account gets the Role.
    account = place.pods.account or api_access.own_account(name, namespace, place.labels, opts)
    allowed = api_access.rights(
        name,
        _rules(name, members),
        namespace=namespace,
        labels=place.labels,
        account=account,
        opts=opts,
    )
    return Patroni(
        account, secret.metadata.name, [*passwords.values()], [*_record(place), *allowed]
    )


def _record(place: Place) -> list[pulumi.Resource]:
    """Make the ConfigMaps with the record of the members.

    Patroni writes the annotations. The program states none of them, so an `up` removes none.
    Without the record nobody knows which member has all that was acknowledged. So it is protected
    as the passwords are, without which no volume is of use either.
    """
    protection = pulumi.ResourceOptions(protect=place.retention.get("protect_passwords") or None)
    return [
        k8s.core.v1.ConfigMap(
            f"{place.name}-{part}",
            metadata=metadata(f"{place.name}-{part}", place.namespace, place.labels),
            opts=pulumi.ResourceOptions.merge(place.opts, protection),
        )
        for part in _RECORD
    ]


def _rules(name: str, members: int) -> list[k8s.rbac.v1.PolicyRuleArgs]:
    """Return what Patroni does in the cluster."""
    rule = k8s.rbac.v1.PolicyRuleArgs
    return [
        rule(
            api_groups=[""],
            resources=["configmaps"],
            resource_names=[f"{name}-{part}" for part in _RECORD],
            verbs=["get", "patch"],
        ),
        # Kubernetes cannot restrict these to names or labels. A part of the record that somebody
        # deletes is made anew: without that right, the primary would stop.
        rule(api_groups=[""], resources=["configmaps"], verbs=["create", "list", "watch"]),
        rule(
            api_groups=[""],
            resources=["pods"],
            resource_names=[f"{name}-{number}" for number in range(members)],
            verbs=["get", "patch"],
        ),
        rule(api_groups=[""], resources=["pods"], verbs=["list", "watch"]),
    ]


def ways(name: str, app: str, port: int) -> tuple[list[Path], list[Path]]:
    """Return the paths to the members and from them: to each other, and to the API server."""
    each_other = Path([pods(selector(name, app))], tcp=[port, PORT])
    return [each_other], [each_other, api_access.API_SERVER]


def environment(
    place: Place,
    app: str,
    members: int,
    parameters: Mapping[str, str],
    *,
    superuser: k8s.core.v1.EnvVarArgs,
    secret: pulumi.Input[str],
) -> list[k8s.core.v1.EnvVarArgs]:
    """Return the variables of a member: Patroni's own, and those that images/patroni reads.

    Args:
        place: where the members are.
        app: name of the program in the labels.
        members: number of the members.
        parameters: settings of the server.
        superuser: the variable with the superuser's password.
        secret: name of the Secret with the passwords of the members themselves.
    """
    variable = k8s.core.v1.EnvVarArgs
    picked = selector(place.name, app)
    labels = {key: value for key, value in picked.items() if key != _SCOPE_LABEL}
    return [
        variable(name="PATRONI_SCOPE", value=place.name),
        _of_pod("PATRONI_NAME", "metadata.name"),
        _of_pod("PATRONI_KUBERNETES_NAMESPACE", "metadata.namespace"),
        _of_pod("POD_ADDRESS", "status.podIP"),
        variable(name="PATRONI_KUBERNETES_LABELS", value=json.dumps(labels)),
        variable(name="PATRONI_KUBERNETES_SCOPE_LABEL", value=_SCOPE_LABEL),
        variable(name="PATRONI_KUBERNETES_ROLE_LABEL", value=ROLE),
        variable(name="PATRONI_KUBERNETES_LEADER_LABEL_VALUE", value=PRIMARY),
        variable(name="PATRONI_SUPERUSER_USERNAME", value="postgres"),
        superuser,
        *(
            one
            for login, user in _LOGINS.items()
            for one in (
                variable(name=f"PATRONI_{login}_USERNAME", value=user),
                secret_env(f"PATRONI_{login}_PASSWORD", secret, f"{login}_PASSWORD"),
            )
        ),
        variable(name="MEMBERS_SETTINGS", value=_settings(members, parameters)),
    ]


def _of_pod(name: str, path: str) -> k8s.core.v1.EnvVarArgs:
    """Return a variable with a field of the pod."""
    return k8s.core.v1.EnvVarArgs(
        name=name,
        value_from=k8s.core.v1.EnvVarSourceArgs(
            field_ref=k8s.core.v1.ObjectFieldSelectorArgs(field_path=path)
        ),
    )


def _settings(members: int, parameters: Mapping[str, str]) -> str:
    """Return the settings that all members have in common, as JSON.

    Source: https://patroni.readthedocs.io/en/latest/dynamic_configuration.html
    """
    connections = max(int(parameters["max_connections"]), _LEAST_CONNECTIONS)
    return json.dumps(
        {
            **_TIMES,
            # The primary acknowledges a write when `synchronous_node_count` other members, any of
            # them, have it on their volumes. So most of the members have it, and a member becomes
            # the primary only if it has seen as much as most of them.
            "synchronous_mode": "quorum",
            "synchronous_node_count": members // 2,
            # Without enough members a write waits. Otherwise the primary would go on alone, and
            # what it acknowledged would be lost with its volume.
            "synchronous_mode_strict": True,
            # What a candidate lacks was never acknowledged, however much it is.
            "maximum_lag_on_failover": 1 << 40,
            # A server that crashed is not waited for, if another member can go on.
            "primary_start_timeout": 0,
            # The primary goes on without the API server while it reaches all members.
            "failsafe_mode": True,
            "postgresql": {
                "use_pg_rewind": True,
                "parameters": {
                    **parameters,
                    "max_connections": connections,
                    # A member that stays away must not fill the volume of the primary. What it then
                    # lacks is copied anew (docs/high-availability.md).
                    "max_slot_wal_keep_size": "512MB",
                },
            },
        }
    )


def member(
    name: str,
    image: pulumi.Input[str],
    port: int,
    environment: Sequence[k8s.core.v1.EnvVarArgs],
    sized: Sizes,
) -> k8s.core.v1.ContainerArgs:
    """Return the container of a member.

    Args:
        name: name of the container, and of the server's port.
        image: image of PostgreSQL with Patroni.
        port: port of the server.
        environment: its variables.
        sized: how much the server may take.
    """
    return k8s.core.v1.ContainerArgs(
        name=name,
        image=image,
        env=[*environment],
        ports=[
            k8s.core.v1.ContainerPortArgs(name=name, container_port=port),
            k8s.core.v1.ContainerPortArgs(name=PORT_NAME, container_port=PORT),
        ],
        startup_probe=http_probe("/liveness", PORT_NAME, period=1, failures=180),
        # Ready means: the primary, or a member that follows it closely. While there is no primary,
        # no other member follows one. All of them stay ready for longer than that lasts, so that
        # the next primary has clients at once.
        readiness_probe=http_probe("/readiness?lag=16MB", PORT_NAME, period=2, failures=20),
        # Alive means: Patroni's rounds go on. Patroni itself restarts a server that has crashed.
        liveness_probe=http_probe("/liveness", PORT_NAME, period=10, failures=6),
        resources=sized.resources("384Mi", beside=_MEBIBYTES),
    )
