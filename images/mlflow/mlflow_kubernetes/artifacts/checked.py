"""Files that MLflow's client logs through a server, under names that arrive unchanged.

The client puts a name into a URL without quoting. The server does not get the text behind a `#`,
and reads `%41` as `A`, so that one file would be stored in the place of another.
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
