"""The objects in a namespace that users or Pulumi made, without the cluster's own."""

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
        # A claim made from a template belongs to its StatefulSet by name.
        and item["kind"] != "PersistentVolumeClaim"
    }
