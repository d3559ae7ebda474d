"""Stacks with single servers, and with several: what holds for the first must hold for the second.

Several members of PostgreSQL and several servers of MinIO run on one node too, if it is the only
one.
"""

from commands.support import images
from commands.support import stack as stacks
from commands.support.cluster import Cluster
from harness.stack import Stack
from tests.e2e.support import members, stateful_pods

SEVERAL = {"databaseReplicas": "3", "artifactReplicas": "4"}
NUMBERS: dict[str, dict[str, str]] = {"single servers": {}, "several servers": SEVERAL}
"""Settings of a stack on PostgreSQL and MinIO."""
UP_SECONDS = 1200
"""How long `pulumi up` may take: each member copies all data, and restarts alone."""


def provide(cluster: Cluster, numbers: str) -> None:
    """Put the images into the cluster that a stack with these numbers of servers takes."""
    images.provide(cluster, stacks.settings("minikube", **NUMBERS[numbers]))


def database_pod(stack: Stack) -> str:
    """Return the name of the pod that takes the writes of PostgreSQL."""
    labelled = stack.kubectl.json("get", "statefulset", "postgres")["spec"]["replicas"] > 1
    return stateful_pods.name(members.primary(stack)) if labelled else "postgres-0"
