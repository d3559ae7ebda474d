"""A server with data of its own: one Service, and a StatefulSet of one pod on one volume."""

import pulumi
import pulumi_kubernetes as k8s

from components._labels import metadata, selector

DATA_VOLUME = "data"
"""Name under which the pod mounts the volume."""


def data_server(
    name: str,
    *,
    app: str,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
    ports: dict[str, int],
    pod: k8s.core.v1.PodSpecArgs,
    secrets_fingerprint: pulumi.Input[str],
    storage: pulumi.Input[str],
    storage_class: pulumi.Input[str] | None,
    opts: pulumi.ResourceOptions,
) -> k8s.apps.v1.StatefulSet:
    """Make the Service ``name`` and, behind it, a pod that keeps its data when it is replaced.

    ``ports`` maps the names of the container's ports to the Service's. Every object has a fixed
    name. A StatefulSet that is replaced finds its volume again by name; and an ``up`` that was
    killed finds what it had made, which random names would leave behind. The claim outlives the
    StatefulSet (Kubernetes' default), so a changed template never costs data; it goes with the
    namespace.
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
        spec={
            "selector": picked,
            "ports": [
                {"name": port_name, "port": port, "target_port": port_name}
                for port_name, port in ports.items()
            ],
        },
        opts=opts,
    )
    claim = k8s.core.v1.PersistentVolumeClaimArgs(
        metadata=k8s.meta.v1.ObjectMetaArgs(name=DATA_VOLUME, labels=picked),
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
            service_name=service.metadata.name,
            replicas=1,
            selector=k8s.meta.v1.LabelSelectorArgs(match_labels=picked),
            template=k8s.core.v1.PodTemplateSpecArgs(
                metadata=k8s.meta.v1.ObjectMetaArgs(
                    labels=labels, annotations={"mlflow-kubernetes/secrets": secrets_fingerprint}
                ),
                spec=pod,
            ),
            volume_claim_templates=[claim],
        ),
        opts=pulumi.ResourceOptions.merge(
            opts,
            # The default is ten minutes; an image that has to be pulled takes two or three.
            pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m")),
        ),
    )
