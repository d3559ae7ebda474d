"""The choice ``mlflow:artifactStore s3``: a bucket that exists."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from pydantic import Field

from artifact_stores._choice import Choice, Surroundings
from components import S3, PodArgs, S3Args
from components._kubernetes.pod_json import from_kubernetes
from components._kubernetes.pod_options import merged
from settings import buckets, values
from settings.declarations import Refuse
from settings.schema import SharedSettings


class S3Settings(SharedSettings):
    """A bucket that exists"""

    s3_endpoint: values.S3Endpoint | None = Field(
        None, description='artifactStore s3: URL of the S3 endpoint. "" means Amazon S3.'
    )
    s3_bucket: values.S3Bucket | None = Field(
        None, description="artifactStore s3: name of a bucket that exists."
    )
    s3_prefix: values.S3Prefix | None = Field(
        None, description='artifactStore s3: folder in the bucket. "" means the whole bucket.'
    )
    s3_region: values.S3Region = Field(
        "us-east-1", description="artifactStore s3: region for which requests are signed."
    )
    s3_access_key_id: values.S3AccessKeyId | None = Field(
        None,
        description='artifactStore s3: access key. "" means that the pods get one from the cloud.',
    )
    s3_secret_access_key: values.S3SecretAccessKey | None = Field(
        None, description="artifactStore s3: the access key's secret, set with --secret."
    )
    s3_secret: values.SecretName | None = Field(
        None,
        description="artifactStore s3, instead of a key: a Secret of the namespace with keys "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    )
    s3_service_account: values.ServiceAccountName | None = Field(
        None,
        description="artifactStore s3, instead of a key: a service account of the namespace, to "
        "which the cloud gives a key.",
    )
    s3_ca: values.Certificates | None = Field(
        None,
        description="artifactStore s3: certificates of the authorities that may sign the "
        'endpoint\'s certificate, as PEM. "" means the public authorities.',
    )


def inputs(settings: S3Settings, around: Surroundings) -> S3Args:
    """Return the inputs of the bucket outside the stack."""
    return {
        "namespace": around.place.namespace,
        "retention": around.place.retention,
        "pods": _pods(settings),
        "server_image": settings.server_image,
        # The rules refuse artifactStore: s3 without a bucket.
        "bucket": settings.s3_bucket or "",
        "prefix": settings.s3_prefix,
        "endpoint": settings.s3_endpoint,
        "region": settings.s3_region,
        "access_key_id": settings.s3_access_key_id,
        "secret_access_key": settings.s3_secret_access_key,
        "secret": settings.s3_secret,
        "service_account": settings.s3_service_account,
        "ca": settings.s3_ca,
        "networks": settings.external_networks,
    }


def _make(name: str, settings: SharedSettings, around: Surroundings) -> S3:
    return S3(name, inputs(S3Settings.of(settings), around), around.opts)


def _pods(settings: SharedSettings) -> PodArgs | None:
    """Return the options of the pods that check the bucket.

    The tracking server's pods run under their service account, so they get its annotations.
    """
    pods = from_kubernetes(settings.pods)
    account: PodArgs = {}
    of_server = from_kubernetes(settings.server_pods).get("service_account_annotations")
    if of_server:
        account["service_account_annotations"] = of_server
    return merged(pods, account) or None


def _hosts(settings: SharedSettings) -> list[str]:
    """Return the hosts of the bucket."""
    own = S3Settings.of(settings)
    if own.s3_endpoint:
        return [urlsplit(own.s3_endpoint).hostname or ""]
    regional = f"s3.{own.s3_region}.amazonaws.com"
    return [regional, f".{regional}", f"sts.{own.s3_region}.amazonaws.com"]


def _rules(settings: SharedSettings, refuse: Refuse) -> Iterator[str]:
    """Refuse settings that are missing, or that contradict each other."""
    own = S3Settings.of(settings)
    if not own.s3_bucket:
        yield refuse("s3Bucket", "with artifactStore: s3, the name of a bucket that exists")
    parts = ("s3AccessKeyId", "s3SecretAccessKey")
    yield from buckets.half_a_key(own, refuse, *parts)
    keys = [*own.given(*parts)[:1], *own.given("s3Secret", "s3ServiceAccount")]
    for key in keys[1:]:
        yield refuse(key, f"nothing beside {keys[0]}: one key is enough")
    yield from buckets.authority(own, refuse, ca="s3Ca", endpoint="s3Endpoint")
    if _backs_up_itself(own):
        yield refuse("backupPrefix", "a folder outside of the artifact store's, s3Prefix")
    both = merged(from_kubernetes(own.pods), from_kubernetes(own.server_pods))
    if own.s3_service_account and both.get("service_account_annotations"):
        yield refuse(
            "s3ServiceAccount", "nothing beside serviceAccountAnnotations in pods or serverPods"
        )


def _backs_up_itself(settings: S3Settings) -> bool:
    """Return whether the folder of the backups is in the bucket's folder of artifacts."""
    target = (settings.backup_store, settings.backup_bucket, settings.backup_endpoint)
    if target != ("s3", settings.s3_bucket, settings.s3_endpoint):
        return False
    folder = f"{settings.s3_prefix}/" if settings.s3_prefix else ""
    return f"{settings.backup_prefix or ''}/".startswith(folder)


CHOICE = Choice(
    S3Settings,
    S3,
    _make,
    outside="a bucket",
    rules=_rules,
    unproxied=_hosts,
    has_service_account=True,
    rank=3,
)
