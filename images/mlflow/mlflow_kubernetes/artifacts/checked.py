"""What MLflow's client logs through a server, under no name that is lost on the way.

The client sends a name in a URL as it is: the server never sees what follows a `#`, nor that an `A`
was a `%41`, and stores one file over another.
"""

import posixpath
from pathlib import Path

from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

from mlflow_kubernetes.artifacts.paths import storable


class CheckedArtifactsRepository(MlflowArtifactsRepository):
    """MLflow's own, which refuses names before anything is sent."""

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Store one local file."""
        storable(posixpath.join(artifact_path or "", Path(local_file).name))
        super().log_artifact(local_file, artifact_path)
