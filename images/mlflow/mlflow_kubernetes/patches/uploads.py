"""Uploads by clients: refused before their content is read, where they cannot be what was meant."""

from fastapi import Request, Response
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.server import artifact_router as mlflow_router
from starlette.requests import ClientDisconnect

from mlflow_kubernetes.artifacts import conditions
from mlflow_kubernetes.artifacts.streams import Artifact, StreamDownloadMixin
from mlflow_kubernetes.patches import artifact_names, downloads


def install() -> None:
    """Take the place of MLflow's handler; in effect for applications that are made after it."""
    downloads.replace_endpoint(mlflow_router.upload_artifact, _upload, "PUT")


async def _upload(artifact_path: str, request: Request) -> Response:
    headers = request.headers
    try:
        # A part of a file would take the place of a whole one (RFC 9110, 14.5).
        if "content-range" in headers:
            raise MlflowException.invalid_parameter_value(
                "Content-Range: an artifact is stored whole"
            )
        artifact_names.refuse_a_part(artifact_path, headers)
        if any(name in headers for name in conditions.PRECONDITIONS):
            found = await _find(artifact_path)
            if status := conditions.failed(headers, found, reads=False):
                return Response(status_code=status)
        return await mlflow_router.upload_artifact(artifact_path, request)
    except MlflowException as error:
        return downloads.refusal(error)
    except ClientDisconnect:
        return Response(status_code=400)  # to nobody


async def _find(artifact_path: str) -> Artifact | None:
    repository = mlflow_router._get_artifact_repo()
    if not isinstance(repository, StreamDownloadMixin):
        return None
    path = mlflow_router._get_workspace_scoped_path(artifact_path)
    try:
        return await downloads.read(repository.find_artifact, path)
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return None
        raise
