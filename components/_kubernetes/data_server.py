"""A server with data of its own: one Service, and a StatefulSet with a volume for each pod."""

from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.arguments import changed
from .._kubernetes.availability import apart, one_away_at_most
from .._kubernetes.labels import metadata, selector
from .._kubernetes.pod_options import PodOptions
from .._kubernetes.pods import Credentials, pod_labels, resources
from .._kubernetes.retention import RetentionArgs, owner_references

DATA_VOLUME = "data"
"""Name under which the pod mounts the volume."""


def volume_check(image: pulumi.Input[str], script: str, folder: str) -> k8s.core.v1.ContainerArgs:
    """Return a container that ends a pod's start where its image does not read the volume.

    Args:
        image: the server's own image, whose programs tell the version.
        script: for `sh`, with ``folder`` as its argument; fails with one line.
        folder: where the volume is mounted.
    """
    return k8s.core.v1.ContainerArgs(
        name="volume-check",
        image=image,
        command=["sh", "-c", script, "sh", folder],
        resources=resources("100m", "64Mi", most_cpu="1"),
        # The pod's status then has the line.
        termination_message_policy="FallbackToLogsOnError",
    )


def data_server(
    name: str,
    *,
    app: str,
    namespace: pulumi.Input[str],
    labels: pulumi.Input[dict[str, str]],
    ports: dict[str, int],
    pod: k8s.core.v1.PodSpecArgs,
    pods: PodOptions,
    restarts_with: pulumi.Input[str],
    backends: Sequence[pulumi.Input[Credentials]] = (),
    storage: pulumi.Input[str],
    storage_class: pulumi.Input[str] | None,
    retention: RetentionArgs,
    replicas: int = 1,
    headless: bool = False,
    reached_unready: bool = False,
    minutes: int = 5,
    opts: pulumi.ResourceOptions,
) -> k8s.apps.v1.StatefulSet:
    """Make the Service ``name`` and, behind it, pods that keep their data when they are replaced.

    ``ports`` maps the names of the container's ports to the Service's, and ``restarts_with`` is the
    fingerprint of what the pods read when they start; they reach ``backends``. A ``headless``
    Service has names for the pods and no address; one that is ``reached_unready`` does not wait for
    them. Where the Service has an address, which clients need not ask for again when a pod is
    replaced, another one gives the pods their names, as a StatefulSet demands.

    Every object has a fixed name. A StatefulSet that is replaced finds its volumes again by name;
    and an ``up`` that was killed finds what it had made, which random names would leave behind. The
    claims outlive the StatefulSet (Kubernetes' default), so a changed template never costs data.
    They are deleted with the owner that ``retention`` names, or else with the namespace.

    `pulumi up` waits ``minutes`` for the pods.
    """
    picked = selector(name, app)
    service = k8s.core.v1.Service(
        f"{name}-service",
        metadata=metadata(
            name,
            namespace,
            labels,
            # A Service is waited for until a pod answers, and the pods come after it: the
            # StatefulSet names its Service. The StatefulSet's own wait says that they are up.
            {"pulumi.com/skipAwait": "true"},
        ),
        spec=k8s.core.v1.ServiceSpecArgs(
            selector=picked,
            ports=[
                k8s.core.v1.ServicePortArgs(name=port_name, port=port, target_port=port_name)
                for port_name, port in ports.items()
            ],
            cluster_ip="None" if headless else None,
            publish_not_ready_addresses=reached_unready or None,
        ),
        opts=opts,
    )
    names = (
        service
        if headless
        else k8s.core.v1.Service(
            f"{name}-pods",
            metadata=metadata(f"{name}-pods", namespace, labels, {"pulumi.com/skipAwait": "true"}),
            spec=k8s.core.v1.ServiceSpecArgs(selector=picked, cluster_ip="None"),
            opts=opts,
        )
    )
    one_away_at_most(name, replicas, namespace=namespace, labels=labels, picked=picked, opts=opts)
    claim = k8s.core.v1.PersistentVolumeClaimArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=DATA_VOLUME, labels=picked, owner_references=owner_references(retention)
        ),
        spec=k8s.core.v1.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=storage_class,
            resources=k8s.core.v1.VolumeResourceRequirementsArgs(requests={"storage": storage}),
        ),
    )
    return k8s.apps.v1.StatefulSet(
        f"{name}-server",
        metadata=metadata(name, namespace, labels),
        spec=k8s.apps.v1.StatefulSetSpecArgs(
            service_name=names.metadata.name,
            replicas=replicas,
            # One by one, a pod that cannot start would be waited for even when the template that
            # it was made from has been corrected (kubernetes/kubernetes#67250).
            pod_management_policy="Parallel",
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=picked),
            template=pods.on_server(
                k8s.core.v1.PodTemplateSpecArgs(
                    metadata=k8s.meta.v1.ObjectMetaArgs(
                        labels=pod_labels(labels, backends),
                        annotations={"mlflow-kubernetes/secrets": restarts_with},
                    ),
                    spec=changed(pod, affinity=apart(picked)),
                )
            ),
            volume_claim_templates=[claim],
        ),
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                # Who waits for the server finds its address as well.
                depends_on=[service],
                # The default is ten minutes.
                custom_timeouts=pulumi.CustomTimeouts(create=f"{minutes}m", update=f"{minutes}m"),
            ),
        ),
    )
