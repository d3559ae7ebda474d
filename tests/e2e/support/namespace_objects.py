"""The objects in a namespace that users or Pulumi made, without the cluster's own."""

from collections.abc import Mapping
from typing import Any

from harness.kubectl import Kubectl

# Made in every namespace, or for an object of ours, by the cluster itself.
CLUSTERS_OWN = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
CLUSTERS_KINDS = {"Endpoints", "Event", "PodMetrics", "Lease"}


def in_cluster(kubectl: Kubectl) -> set[tuple[str, str]]:
    """Return (kind, name) of what somebody made in the namespace, not the cluster for itself."""
    kinds = kubectl("api-resources", "--verbs=list", "--namespaced", "--output=name").split()
    return {
        (item["kind"], item["metadata"]["name"])
        for item in kubectl.items(*kinds)
        if not item["metadata"].get("ownerReferences")
        and item["kind"] not in CLUSTERS_KINDS
        and (item["kind"], item["metadata"]["name"]) not in CLUSTERS_OWN
        and not _is_from_a_template(item)
    }


def _is_from_a_template(item: Mapping[str, Any]) -> bool:
    """Say whether it is a claim that a StatefulSet made, which belongs to that by name alone."""
    made_by = item["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by")
    return bool(item["kind"] == "PersistentVolumeClaim" and made_by != "pulumi")
