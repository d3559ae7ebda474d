"""Several pods of one server: on different nodes, and evicted one at a time."""

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.labels import metadata


def apart(picked: dict[str, str]) -> k8s.core.v1.AffinityArgs:
    """Return the preference that pods with the labels ``picked`` run on different nodes."""
    return k8s.core.v1.AffinityArgs(
        pod_anti_affinity=k8s.core.v1.PodAntiAffinityArgs(
            preferred_during_scheduling_ignored_during_execution=[
                k8s.core.v1.WeightedPodAffinityTermArgs(
                    weight=100,
                    pod_affinity_term=k8s.core.v1.PodAffinityTermArgs(
                        topology_key="kubernetes.io/hostname",
                        label_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=picked),
                    ),
                )
            ]
        )
    )


def spread(picked: dict[str, str]) -> k8s.core.v1.TopologySpreadConstraintArgs:
    """Return the rule that the pods with the labels ``picked`` are divided among all nodes.

    A cluster of one node runs all of them there. A preference would not do: the scheduler gives it
    up where the node that it prefers is busy.
    """
    return k8s.core.v1.TopologySpreadConstraintArgs(
        max_skew=1,
        topology_key="kubernetes.io/hostname",
        when_unsatisfiable="DoNotSchedule",
        label_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=picked),
    )


def one_away_at_most(
    name: str,
    replicas: int,
    *,
    namespace: pulumi.Input[str],
    labels: pulumi.Input[dict[str, str]],
    picked: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> None:
    """Make a PodDisruptionBudget, so that a drain of nodes evicts one pod at a time.

    A single pod needs none.
    """
    if replicas < 2:
        return
    k8s.policy.v1.PodDisruptionBudget(
        f"{name}-budget",
        metadata=metadata(name, namespace, labels),
        spec=k8s.policy.v1.PodDisruptionBudgetSpecArgs(
            max_unavailable=1,
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=picked),
            # A pod that is not ready must not block the drain of its node.
            unhealthy_pod_eviction_policy="AlwaysAllow",
        ),
        opts=opts,
    )
