"""Two tracking servers in one program: neither reaches the other's namespace."""

import pulumi
from pulumi_mlflow_kubernetes import Minio, Postgres, StackNamespace, TrackingServer


def tracker(team: str) -> TrackingServer:
    """Make a team's namespace, with everything in it; logical names begin with the team's name."""
    place = StackNamespace(f"{team}-tracking")
    database = Postgres(f"{team}-database", {"namespace": place.namespace, "storage": "2Gi"})
    artifacts = Minio(
        f"{team}-artifacts",
        {
            "namespace": place.namespace,
            "storage": "5Gi",
            "host": f"s3.{team}-tracking.local",
            "console_host": f"console.{team}-tracking.local",
        },
    )
    return TrackingServer(
        f"{team}-tracking",
        {
            "namespace": place.namespace,
            "backend_store": database,
            "artifact_store": artifacts,
            "host": f"{team}-tracking.local",
            "workers": 1,
        },
    )


for team in ("red", "blue"):
    tracking = tracker(team)
    pulumi.export(f"{team}_tracking_uri", tracking.tracking_uri)
    pulumi.export(f"{team}_client_env", tracking.client_env)
