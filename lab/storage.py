"""The storage class `standard`: a folder that anyone may write for each claim, as minikube's does.

Kubernetes' own host-path provisioner makes folders that only root may enter, and that no fsGroup
opens; local-path-provisioner takes an image with a shell, and a pod for every folder.
"""

import shutil
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus

import httpx2
from lightkube import ApiError, Client
from lightkube.models.core_v1 import (
    HostPathVolumeSource,
    ObjectReference,
    PersistentVolumeSpec,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import PersistentVolume, PersistentVolumeClaim

from lab import kinds, paths

_PROVISIONER = "mlflow-lab/folders"
_MADE_BY = "pv.kubernetes.io/provisioned-by"  # the annotations that all provisioners share
_WANTED_FROM = "volume.kubernetes.io/storage-provisioner"
_RETRY_SECONDS = 2


def objects() -> list[dict[str, object]]:
    """Return the storage class."""
    return [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": "standard",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": _PROVISIONER,
            "volumeBindingMode": "Immediate",
            "reclaimPolicy": "Delete",
        }
    ]


def serve() -> None:
    """Make and remove volumes until ended."""
    kinds.prepare(PersistentVolumeClaim, PersistentVolume)
    # Two clients: lightkube does not say that one may be shared by threads.
    for work in (_provision_all, _remove_all):
        threading.Thread(target=_forever, args=(work, Client())).start()


def _forever(work: Callable[[Client], None], client: Client) -> None:
    while True:
        try:
            work(client)
        # The API server may be away, or one volume fail: the next watch starts with all there are.
        except (httpx2.HTTPError, OSError) as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            time.sleep(_RETRY_SECONDS)


def _provision_all(client: Client) -> None:
    for operation, claim in client.watch(PersistentVolumeClaim, namespace="*"):
        if operation != "DELETED" and _wanted(claim):
            _provision(client, claim)


def _wanted(claim: PersistentVolumeClaim) -> bool:
    metadata, spec = _metadata(claim), claim.spec
    asked = (metadata.annotations or {}).get(_WANTED_FROM) == _PROVISIONER
    unbound = spec is not None and not spec.volumeName
    return asked and unbound and metadata.deletionTimestamp is None


def _provision(client: Client, claim: PersistentVolumeClaim) -> None:
    metadata, spec = _metadata(claim), claim.spec
    if spec is None or spec.volumeMode == "Block":
        print(f"{metadata.namespace}/{metadata.name}: no block volumes here", file=sys.stderr)
        return
    name = f"pvc-{metadata.uid}"
    folder = paths.VOLUMES / f"{name}_{metadata.namespace}_{metadata.name}"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)  # whatever the umask says
    volume = PersistentVolume(
        metadata=ObjectMeta(name=name, annotations={_MADE_BY: _PROVISIONER}),
        spec=PersistentVolumeSpec(
            accessModes=spec.accessModes,
            capacity=spec.resources.requests if spec.resources else None,
            claimRef=ObjectReference(
                apiVersion="v1",
                kind="PersistentVolumeClaim",
                namespace=metadata.namespace,
                name=metadata.name,
                uid=metadata.uid,
            ),
            hostPath=HostPathVolumeSource(path=str(folder), type="Directory"),
            persistentVolumeReclaimPolicy="Delete",
            storageClassName=spec.storageClassName,
        ),
    )
    try:
        client.create(volume)
    except ApiError as error:
        if error.status.code != HTTPStatus.CONFLICT:  # made before, and not bound yet
            raise


def _remove_all(client: Client) -> None:
    for operation, volume in client.watch(PersistentVolume):
        if operation != "DELETED" and _released(volume):
            _remove(client, volume)


def _released(volume: PersistentVolume) -> bool:
    metadata, spec, status = _metadata(volume), volume.spec, volume.status
    ours = (metadata.annotations or {}).get(_MADE_BY) == _PROVISIONER
    unwanted = spec is not None and spec.persistentVolumeReclaimPolicy == "Delete"
    return ours and unwanted and status is not None and status.phase == "Released"


def _remove(client: Client, volume: PersistentVolume) -> None:
    name = _metadata(volume).name or ""
    for folder in paths.VOLUMES.glob(f"{name}_*"):
        shutil.rmtree(folder)
    try:
        client.delete(PersistentVolume, name)
    except ApiError as error:
        if error.status.code != HTTPStatus.NOT_FOUND:
            raise


def _metadata(thing: PersistentVolume | PersistentVolumeClaim) -> ObjectMeta:
    return thing.metadata or ObjectMeta()


if __name__ == "__main__":
    serve()
