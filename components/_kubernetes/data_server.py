"""A server with data of its own: one Service, and a StatefulSet with a volume for each pod."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from .._kubernetes.arguments import changed
from .._kubernetes.availability import apart, one_away_at_most, spread
from .._kubernetes.labels import metadata, selector
from .._kubernetes.pod_options import PodOptions
from .._kubernetes.pods import Credentials, pod_labels, resources
from .._kubernetes.retention import RetentionArgs, owner_references

DATA_VOLUME = "data"
"""Name under which the pod mounts the volume."""


def volume_check(image: pulumi.Input[str], script: str, folder: str) -> k8s.core.v1.ContainerArgs:
    """Return an init container that fails where the server's image cannot read the volume.

    Args:
        image: the server's own image, whose programs tell the version.
        script: a script of `sh` with ``folder`` as its argument. It fails with one line.
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
    leads_to: Mapping[str, str] | None = None,
    same_data: bool = False,
    headless: bool = False,
    reached_unready: bool = False,
    minutes: int = 5,
    opts: pulumi.ResourceOptions,
) -> k8s.apps.v1.StatefulSet:
    """Make the Service ``name``, and a StatefulSet whose pods keep their data when replaced.

    A StatefulSet demands a headless Service, which names the pods. Where ``name`` is not headless,
    a second Service is. The address of the first one stays the same when a pod is replaced.

    Every object has a fixed name. So a StatefulSet that is replaced finds its volumes, and an
    ``up`` finds the objects that a killed ``up`` made. The claims outlive the StatefulSet
    (Kubernetes' default). They are deleted with the owner that ``retention`` names, or else with
    the namespace.

    Args:
        name: name of the Service and of the StatefulSet.
        app: name of the program, for the labels.
        namespace: namespace of all objects.
        labels: labels of all objects.
        ports: port of the Service, by the name of the container's port.
        pod: the pod, without affinity.
        pods: what the platform demands of the pods.
        restarts_with: fingerprint of what the pods read when they start.
        backends: the backends that the pods reach.
        storage: size of each volume, as a Kubernetes quantity.
        storage_class: storage class of the volumes; None means the cluster's default.
        retention: what becomes of the volumes.
        replicas: number of pods.
        leads_to: further labels of the one pod to which the Service leads; None: it leads to all.
        same_data: whether several pods hold the same data. They are then divided among the nodes,
            and each has its name in DNS before it is ready.
        headless: whether the Service has no address, and names the pods.
        reached_unready: whether the Service leads to pods that are not ready.
        minutes: how long `pulumi up` waits for the pods.
        opts: options of each object.
    """
    picked = selector(name, app)
    service, names = _services(
        name,
        picked,
        namespace=namespace,
        labels=labels,
        ports=ports,
        leads_to=leads_to or {},
        headless=headless,
        reached_unready=reached_unready,
        named_unready=same_data,
        opts=opts,
    )
    one_away_at_most(name, replicas, namespace=namespace, labels=labels, picked=picked, opts=opts)
    return k8s.apps.v1.StatefulSet(
        f"{name}-server",
        metadata=metadata(name, namespace, labels),
        spec=k8s.apps.v1.StatefulSetSpecArgs(
            service_name=names.metadata.name,
            replicas=replicas,
            # With Kubernetes' default, the controller waits for a pod that cannot start, even when
            # the pod's template has been corrected (kubernetes/kubernetes#67250).
            pod_management_policy="Parallel",
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=picked),
            template=pods.on_server(
                k8s.core.v1.PodTemplateSpecArgs(
                    metadata=k8s.meta.v1.ObjectMetaArgs(
                        labels=pod_labels(labels, backends),
                        annotations={"mlflow-kubernetes/secrets": restarts_with},
                    ),
                    spec=changed(
                        pod,
                        affinity=apart(picked),
                        topology_spread_constraints=[spread(picked)] if same_data else None,
                    ),
                )
            ),
            volume_claim_templates=[_claim(picked, storage, storage_class, retention)],
        ),
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                # What depends on the StatefulSet then comes after the Service too.
                depends_on=[service],
                # The provider's default is ten minutes.
                custom_timeouts=pulumi.CustomTimeouts(create=f"{minutes}m", update=f"{minutes}m"),
            ),
        ),
    )


def _services(
    name: str,
    picked: dict[str, str],
    *,
    namespace: pulumi.Input[str],
    labels: pulumi.Input[dict[str, str]],
    ports: dict[str, int],
    leads_to: Mapping[str, str],
    headless: bool,
    reached_unready: bool,
    named_unready: bool,
    opts: pulumi.ResourceOptions,
) -> tuple[k8s.core.v1.Service, k8s.core.v1.Service]:
    """Make the Service of the clients, and the headless one that names the pods; return both.

    Where the first one is headless, it is both.
    """
    # Pulumi would wait until a pod is ready, but the pods come after the Services, which the
    # StatefulSet names. Pulumi waits for the StatefulSet.
    at_once = {"pulumi.com/skipAwait": "true"}
    service = k8s.core.v1.Service(
        f"{name}-service",
        metadata=metadata(name, namespace, labels, at_once),
        spec=k8s.core.v1.ServiceSpecArgs(
            selector={**picked, **leads_to},
            ports=[
                k8s.core.v1.ServicePortArgs(name=port_name, port=port, target_port=port_name)
                for port_name, port in ports.items()
            ],
            cluster_ip="None" if headless else None,
            publish_not_ready_addresses=reached_unready or None,
        ),
        opts=opts,
    )
    if headless:
        return service, service
    names = k8s.core.v1.Service(
        f"{name}-pods",
        metadata=metadata(f"{name}-pods", namespace, labels, at_once),
        spec=k8s.core.v1.ServiceSpecArgs(
            selector=picked,
            cluster_ip="None",
            publish_not_ready_addresses=named_unready or None,
        ),
        opts=opts,
    )
    return service, names


def _claim(
    picked: dict[str, str],
    storage: pulumi.Input[str],
    storage_class: pulumi.Input[str] | None,
    retention: RetentionArgs,
) -> k8s.core.v1.PersistentVolumeClaimArgs:
    """Return the claim of each pod's volume."""
    return k8s.core.v1.PersistentVolumeClaimArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=DATA_VOLUME, labels=picked, owner_references=owner_references(retention)
        ),
        spec=k8s.core.v1.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=storage_class,
            resources=k8s.core.v1.VolumeResourceRequirementsArgs(requests={"storage": storage}),
        ),
    )
