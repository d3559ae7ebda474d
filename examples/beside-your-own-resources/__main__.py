"""MLflow beside a Job of your own, which logs a run as a user with a generated password."""

import pulumi
import pulumi_kubernetes as k8s
from pulumi_mlflow_kubernetes import Minio, Postgres, StackNamespace, TrackingServer

TRAINING = "import mlflow; mlflow.log_metric('loss', 0.5); mlflow.log_text('done', 'log.txt')"

place = StackNamespace("beside-your-own-resources")
database = Postgres("database", {"namespace": place.namespace, "storage": "2Gi"})
artifacts = Minio(
    "artifacts",
    {
        "namespace": place.namespace,
        "storage": "5Gi",
        "host": "s3.beside-your-own-resources.local",
        "console_host": "console.beside-your-own-resources.local",
    },
)
tracking = TrackingServer(
    "tracking",
    {
        "namespace": place.namespace,
        "backend_store": database,
        "artifact_store": artifacts,
        "host": "beside-your-own-resources.local",
        "users": ["trainer"],
    },
)

login = tracking.logins["trainer"]
training = k8s.batch.v1.Job(
    "training",
    metadata={"namespace": place.namespace},
    spec={
        "backoff_limit": 0,
        "template": {
            # By these labels the network policies let the pod reach the tracking server.
            "metadata": {"labels": tracking.client_labels},
            "spec": {
                "restart_policy": "Never",
                "automount_service_account_token": False,
                # What the namespace's Pod Security level "restricted" asks of every pod.
                "security_context": {
                    "run_as_non_root": True,
                    "run_as_user": 1000,
                    "seccomp_profile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "training",
                        # Built from images/client; any image with MLflow's client will do.
                        "image": "mlflow-kubernetes/client:3.17.2-c7e403f8",
                        "command": ["python", "-c", TRAINING],
                        "env": [
                            {
                                "name": "MLFLOW_TRACKING_URI",
                                "value": tracking.tracking_uri_in_cluster,
                            }
                        ],
                        # The user's name, the password, and an experiment that the user owns.
                        "env_from": [{"secret_ref": {"name": login["secret"]}}],
                        "security_context": {
                            "allow_privilege_escalation": False,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
            },
        },
    },
    opts=pulumi.ResourceOptions(depends_on=[tracking]),
)

pulumi.export("tracking_uri", tracking.tracking_uri)
pulumi.export("client_env", tracking.client_env)
