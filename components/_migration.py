"""The Job that creates or upgrades MLflow's tables, and what it may do in the cluster.

An upgrade of tables that hold data takes place while no server runs. So this Job alone, of all pods
of the stack, may ask the Kubernetes API: it scales one Deployment, lists pods, and keeps a record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from ._kubernetes.arguments import applied
from ._kubernetes.labels import labels, metadata, selector
from ._kubernetes.network_policies import Path, outside, policy
from ._kubernetes.pod_options import PodOptions
from ._kubernetes.pods import SECONDS_TO_START, Credentials, python_template, service_account

WAIT_SECONDS = 150
"""How long each attempt waits for a database: one may come up two minutes late."""
UPGRADE_SECONDS = 3600
"""How long the Job may take. A first migration takes about 10 s; one of a large database may take
many minutes, and the servers are stopped meanwhile."""
API_PORTS = (443, 6443, 8443)
"""Ports of API servers: those of clouds, of kubeadm, k3s and kind, and of minikube."""
FINAL_STATUS = 3
"""The exit status by which the Job says that it must not be tried again (images/mlflow,
contract.py)."""
_API_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
_RECORD_FOLDER = "/etc/mlflow-kubernetes-upgrade"


@dataclass(frozen=True)
class Migration:
    """The Job, and the ConfigMap in which it keeps a record of the last upgrade."""

    job: k8s.batch.v1.Job
    record: k8s.core.v1.ConfigMap


def migration(
    server: str,
    *,
    namespace: pulumi.Input[str],
    image: pulumi.Input[str],
    pods: PodOptions,
    backends: Sequence[pulumi.Input[Credentials]],
    environment: Mapping[str, pulumi.Input[str]],
    autoscaled: bool,
    opts: pulumi.ResourceOptions,
) -> Migration:
    """Make the Job that creates or upgrades the tables, before any server starts.

    The servers would create their tables themselves, without a lock: two replicas on an empty
    database race (mlflow/mlflow#19943).

    Args:
        server: name of the Deployment and of the tracking server.
        namespace: the namespace of both.
        image: the server's image.
        pods: what the platform demands of the pods.
        backends: the databases, and the passwords of the stack's own users.
        environment: variables of the server that the Job needs too.
        autoscaled: whether an autoscaler decides the number of servers.
        opts: options of each object.
    """
    name = f"{server}-migration"
    worn = labels(name, "mlflow", "migration")
    record = k8s.core.v1.ConfigMap(
        f"{server}-upgrade",
        # Its content is the Job's: the program states none, and so takes none away.
        metadata=metadata(f"{server}-upgrade", namespace, worn),
        opts=opts,
    )
    account = k8s.core.v1.ServiceAccount(
        f"{name}-account",
        metadata=metadata(name, namespace, worn),
        automount_service_account_token=False,
        opts=opts,
    )
    # A cloud may know the pods by another account, which has the rights then.
    runs_as = applied(service_account(backends), lambda other: other or name)
    template = python_template(
        "mlflow_kubernetes.migrate",
        labels=worn,
        image=image,
        pods=PodOptions(pods.given),
        backends=backends,
        seconds=WAIT_SECONDS,
        environment={
            **environment,
            "DEPLOYMENT": server,
            "IMAGE": image,
            "RECORD": f"{server}-upgrade",
            "RECORD_FOLDER": _RECORD_FOLDER,
            "API_FOLDER": _API_FOLDER,
            **({"AUTOSCALED": "true"} if autoscaled else {}),
        },
        mounts=[
            k8s.core.v1.VolumeMountArgs(name="api", mount_path=_API_FOLDER, read_only=True),
            k8s.core.v1.VolumeMountArgs(name="record", mount_path=_RECORD_FOLDER, read_only=True),
        ],
        volumes=[_api(), _record(f"{server}-upgrade")],
        service_account_name=runs_as,
    )
    ready = _rights(name, server, namespace=namespace, labels=worn, account=runs_as, opts=opts)
    job = k8s.batch.v1.Job(
        name,
        # A Job that failed for good would fail every `up` from then on; this makes it anew.
        metadata=metadata(name, namespace, worn, {"pulumi.com/replaceUnready": "true"}),
        spec=k8s.batch.v1.JobSpecArgs(
            backoff_limit=2,
            active_deadline_seconds=UPGRADE_SECONDS,
            pod_failure_policy=_failure_policy(),
            template=template,
        ),
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                depends_on=[record, account, *ready],
                custom_timeouts=pulumi.CustomTimeouts(
                    create=f"{UPGRADE_SECONDS + SECONDS_TO_START + 30}s"
                ),
            ),
        ),
    )
    return Migration(job, record)


def _api() -> k8s.core.v1.VolumeArgs:
    """Return the volume with a token for the Kubernetes API; only containers that mount it ask."""
    source = k8s.core.v1.VolumeProjectionArgs
    field = k8s.core.v1.ObjectFieldSelectorArgs
    file = k8s.core.v1.DownwardAPIVolumeFileArgs
    # Kubernetes' Job controller sets the label.
    job = "metadata.labels['batch.kubernetes.io/controller-uid']"
    return k8s.core.v1.VolumeArgs(
        name="api",
        projected=k8s.core.v1.ProjectedVolumeSourceArgs(
            sources=[
                source(
                    service_account_token=k8s.core.v1.ServiceAccountTokenProjectionArgs(
                        path="token", expiration_seconds=3600
                    )
                ),
                # Kubernetes keeps this ConfigMap in every namespace.
                source(
                    config_map=k8s.core.v1.ConfigMapProjectionArgs(
                        name="kube-root-ca.crt",
                        items=[k8s.core.v1.KeyToPathArgs(key="ca.crt", path="ca.crt")],
                    )
                ),
                source(
                    downward_api=k8s.core.v1.DownwardAPIProjectionArgs(
                        items=[
                            file(
                                path="namespace", field_ref=field(field_path="metadata.namespace")
                            ),
                            file(path="job", field_ref=field(field_path=job)),
                        ]
                    )
                ),
            ]
        ),
    )


def _record(name: str) -> k8s.core.v1.VolumeArgs:
    """Return the volume with the record of the last upgrade, which an ordinary run reads there."""
    return k8s.core.v1.VolumeArgs(
        name="record",
        config_map=k8s.core.v1.ConfigMapVolumeSourceArgs(name=name, optional=True),
    )


def _failure_policy() -> k8s.batch.v1.PodFailurePolicyArgs:
    """Return when the Job is not tried again."""
    return k8s.batch.v1.PodFailurePolicyArgs(
        rules=[
            k8s.batch.v1.PodFailurePolicyRuleArgs(
                action="FailJob",
                on_exit_codes=k8s.batch.v1.PodFailurePolicyOnExitCodesRequirementArgs(
                    operator="In", values=[FINAL_STATUS]
                ),
            )
        ]
    )


def _rights(
    name: str,
    server: str,
    *,
    namespace: pulumi.Input[str],
    labels: dict[str, str],
    account: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """Let the Job scale the Deployment of the server, list pods, and keep the record."""
    rule = k8s.rbac.v1.PolicyRuleArgs
    role = k8s.rbac.v1.Role(
        f"{name}-role",
        metadata=metadata(name, namespace, labels),
        rules=[
            rule(
                api_groups=["apps"],
                resources=["deployments/scale"],
                resource_names=[server],
                verbs=["get", "patch"],
            ),
            # Kubernetes cannot restrict a list to names or labels.
            rule(api_groups=[""], resources=["pods"], verbs=["list"]),
            rule(
                api_groups=[""],
                resources=["configmaps"],
                resource_names=[f"{server}-upgrade"],
                verbs=["get", "patch"],
            ),
        ],
        opts=opts,
    )
    binding = k8s.rbac.v1.RoleBinding(
        f"{name}-role-binding",
        metadata=metadata(name, namespace, labels),
        role_ref=k8s.rbac.v1.RoleRefArgs(
            api_group="rbac.authorization.k8s.io", kind="Role", name=name
        ),
        subjects=[
            k8s.rbac.v1.SubjectArgs(kind="ServiceAccount", name=account, namespace=namespace)
        ],
        opts=opts,
    )
    # Policies know no Services: a connection is judged by the address of the API server itself,
    # which may be anywhere.
    way = policy(
        name,
        namespace=namespace,
        labels=labels,
        applies_to=selector(name, "mlflow"),
        egress=[Path(outside([]), tcp=API_PORTS)],
        opts=opts,
    )
    return [role, binding, way]
