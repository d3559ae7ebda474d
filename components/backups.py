"""Backups of a tracking server: made on a schedule, encrypted, and verified by restoring them."""

from dataclasses import dataclass
from functools import partial
from typing import NotRequired, Self, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from ._component import Component
from ._defaults import BACKUP_STORAGE, NAMESPACE, RCLONE_IMAGE, SERVER_IMAGE
from ._kubernetes import database_tools
from ._kubernetes.arguments import applied, known_keys, recorded
from ._kubernetes.cron_jobs import cron_job
from ._kubernetes.labels import labels, metadata
from ._kubernetes.network_policies import Path, after, client_labels, client_policy, outside
from ._kubernetes.pod_options import PodArgs, PodOptions, pod_options
from ._kubernetes.pods import FILES, Credentials, python_template
from ._kubernetes.retention import RetentionArgs, generated_password, owner_references
from ._kubernetes.uris import endpoint_port, fingerprint
from ._wal_archive import wal_archive
from .contracts import ArtifactStoreInput, BackendStoreInput, BackupTarget, output_of
from .held_data import HeldData

REGION = "us-east-1"
STORES = ("volume", "s3", "artifacts")
SAVE_SECONDS = 12 * 3600
"""How long a backup may take. The first backup copies all artifacts."""
VERIFY_SECONDS = 6 * 3600
WEEKLY = "0 5 * * 0"
_CA_FILE = "backup-ca.pem"


class BackupsArgs(TypedDict):
    """Inputs of :class:`Backups`."""

    backend_store: BackendStoreInput
    """Database to back up: a component of ``backend_stores``. Required: it holds the runs."""
    artifact_store: ArtifactStoreInput
    """Store to back up: a component of ``artifact_stores``. Required: it holds the artifacts."""
    tracking_server: NotRequired[str]
    """Name of the :class:`TrackingServer` whose keys are saved, in the same namespace. Without
    these keys nobody reads the secrets that MLflow encrypts in the database. Defaults to
    ``mlflow``."""
    namespace: NotRequired[pulumi.Input[str]]
    """Namespace that receives every object. Defaults to ``default``."""
    server_image: NotRequired[pulumi.Input[str]]
    """Image of the tracking server, which makes and verifies backups. Defaults to the one that
    images/mlflow builds."""
    rclone_image: NotRequired[pulumi.Input[str]]
    """Image of rclone, which copies to the target. Defaults to the release that is tested."""
    schedule: NotRequired[str | None]
    """When a backup is made, as a cron expression in UTC. Defaults to never: the CronJobs are
    there, and suspended."""
    verify_schedule: NotRequired[str | None]
    """When the newest backup is restored into a database of its own and compared, as a cron
    expression in UTC; only with ``schedule``, and never with ``None``. Defaults to
    ``0 5 * * 0``."""
    keep: NotRequired[str]
    """Age from which on a backup is removed, such as ``30d``. The newest complete backup stays.
    Defaults to ``30d``."""
    artifacts: NotRequired[bool]
    """Whether artifacts are copied, beside the databases. Defaults to ``True``."""
    point_in_time: NotRequired[bool]
    """Whether any moment since a backup can be brought back: backups have a base backup, and the
    server's write-ahead log (WAL) is copied to the target as it comes. The backend store must be a
    ``Postgres`` with ``replication``, and ``store`` no volume, because one node at a time mounts a
    volume. A :class:`TrackingServer` that restores has an input of the same name. Defaults to
    ``False``."""
    store: NotRequired[str]
    """Where backups are kept: ``volume``, ``s3`` (a bucket that exists), or ``artifacts`` (a folder
    of the artifact store: it is lost with that store). Defaults to ``volume``."""
    storage: NotRequired[pulumi.Input[str]]
    """Size of the volume, as a Kubernetes quantity. Defaults to ``8Gi``."""
    storage_class: NotRequired[pulumi.Input[str] | None]
    """Storage class of the volume. Defaults to the cluster's default class."""
    bucket: NotRequired[str | None]
    """Name of the bucket of ``s3``. Defaults to none."""
    prefix: NotRequired[str | None]
    """Folder in the bucket. Defaults to the whole bucket."""
    endpoint: NotRequired[str | None]
    """URL of the S3 endpoint. Defaults to Amazon's own for the region."""
    region: NotRequired[str]
    """Region for which requests are signed. Defaults to ``us-east-1``."""
    access_key_id: NotRequired[pulumi.Input[str] | None]
    """Access key of the bucket. Defaults to the one in ``secret``."""
    secret_access_key: NotRequired[pulumi.Input[str] | None]
    """Secret of the access key. Defaults to the one in ``secret``."""
    secret: NotRequired[pulumi.Input[str] | None]
    """Name of a Secret of the namespace with keys ``AWS_ACCESS_KEY_ID`` and
    ``AWS_SECRET_ACCESS_KEY``. Defaults to a Secret that the component makes of the access key."""
    ca: NotRequired[str | None]
    """Certificates to trust at the endpoint, as PEM. Defaults to the public authorities."""
    networks: NotRequired[list[str]]
    """Networks that the endpoint is in, as CIDRs. Defaults to any but the cloud's own."""
    passphrase: NotRequired[pulumi.Input[str] | None]
    """Passphrase with which backups are encrypted. Defaults to a generated one."""
    retention: NotRequired[RetentionArgs]
    """What becomes of the volume and the generated passphrase: ``StackNamespace.retention``.
    Defaults to: the volume stays until its namespace is deleted, and Pulumi may delete the
    passphrase."""
    pods: NotRequired[PodArgs | None]
    """What the platform demands of the pods. Defaults to nothing."""


class Backups(Component):
    """Backups of both databases, the artifacts and the keys, encrypted with a passphrase."""

    target: BackupTarget
    """Where backups are kept: Secrets, a claim and an image, for a pod that reaches backups."""
    passphrase: pulumi.Output[str]
    """Passphrase with which backups are encrypted: secret."""

    holds = (
        HeldData(
            kind="PersistentVolumeClaim",
            suffix="-volume",
            storage="storage",
            only_with=("store", "volume"),
        ),
    )

    def __init__(
        self, name: str, args: BackupsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        backups = _Backups.of(name, args)
        super().__init__("Backups", name, _recorded(args), opts)
        child = pulumi.ResourceOptions(parent=self)
        pods = pod_options(
            name,
            args.get("pods"),
            namespace=backups.namespace,
            labels=labels(name, "mlflow", "backup"),
            opts=child,
        )
        if backups.store == "artifacts":
            pulumi.warn("backups are in the artifact store, and are lost with it", self)
        passphrase = args.get("passphrase")
        self.passphrase = pulumi.Output.secret(
            generated_password(f"{name}-passphrase", 40, backups.retention, child)
            if passphrase is None
            else passphrase
        )
        claim = _volume(backups, args, child) if backups.store == "volume" else None
        self.target = _target(backups, args, self.passphrase, claim, child)
        reached = after(child, _way(backups, child)) if backups.store == "s3" else child
        _saving(backups, args, pods, self.target, reached)
        _verification(backups, args, pods, self.target, reached)
        if backups.point_in_time:
            wal_archive(
                f"{name}-wal",
                namespace=backups.namespace,
                image=backups.image,
                client_image=backups.client_image,
                rclone_image=backups.rclone_image,
                pods=pods,
                replication=backups.replication,
                target=_reached(backups, self.target),
                opts=reached,
            )
        self.register_outputs({"target": self.target, "passphrase": self.passphrase})


@dataclass(frozen=True)
class _Backups:
    """The inputs that several objects use, with their defaults, and the outputs of the stores."""

    name: str
    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    rclone_image: pulumi.Input[str]
    database: pulumi.Input[Credentials]
    client_image: pulumi.Input[str]
    replication: pulumi.Input[Credentials]
    """The login that copies the database's data: only with ``point_in_time``."""
    artifacts: pulumi.Input[Credentials]
    point_in_time: bool
    schedule: str | None
    store: str
    endpoint: Path
    """The path to the S3 endpoint: only with ``store`` ``s3``."""
    retention: RetentionArgs

    @classmethod
    def of(cls, name: str, args: BackupsArgs) -> Self:
        """Return the inputs of the component ``name``.

        Raises:
            pulumi.RunError: if there is an unknown input, a text that is not accepted, or a
                target that is not described.
        """
        known_keys(name, args, BackupsArgs)
        store = args.get("store", "volume")
        if store not in STORES:
            raise pulumi.RunError(f"{name}.store: {store!r}; accepted: {' or '.join(STORES)}")
        key = (args.get("access_key_id") is None, args.get("secret_access_key") is None)
        if store == "s3" and not args.get("bucket"):
            raise pulumi.RunError(f"{name}.bucket: required with store s3, and not given")
        if store == "s3" and len({*key, args.get("secret") is not None}) > 1:
            raise pulumi.RunError(
                f"{name}: with store s3, expected either access_key_id with secret_access_key or "
                "secret"
            )
        point_in_time = args.get("point_in_time", False)
        replication = output_of(args["backend_store"], "replication")
        if point_in_time:
            # The output of a component may be known later.
            replication = applied(replication, partial(_login, name))
        if point_in_time and store == "volume":
            raise pulumi.RunError(
                f"{name}.point_in_time: True; accepted: with store s3 or artifacts"
            )
        return cls(
            name=name,
            namespace=args.get("namespace", NAMESPACE),
            image=args.get("server_image", SERVER_IMAGE),
            rclone_image=args.get("rclone_image", RCLONE_IMAGE),
            database=output_of(args["backend_store"], "credentials"),
            client_image=output_of(args["backend_store"], "client_image"),
            replication=replication,
            artifacts=output_of(args["artifact_store"], "credentials"),
            point_in_time=point_in_time,
            schedule=args.get("schedule"),
            store=store,
            endpoint=Path(
                outside(name, args.get("networks", [])),
                tcp=[endpoint_port(name, args.get("endpoint"))],
            ),
            retention=args.get("retention", {}),
        )

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the objects that belong to no pod."""
        return labels(self.name, "mlflow", "backup")


def _login(name: str, replication: Credentials | None) -> Credentials:
    """Return the login that copies the database's data.

    Raises:
        pulumi.RunError: if the database has none.
    """
    if replication is None:
        raise pulumi.RunError(
            f"{name}.point_in_time: True; accepted: with a backend store Postgres whose input "
            "replication is True"
        )
    return replication


def _recorded(args: BackupsArgs) -> dict[str, object]:
    """Return the inputs as Pulumi keeps them in its state, without the stores.

    A child waits until all inputs of its parent are known. The outputs of a store are known when
    the store is ready, and the volume should be there by then: a pod that meets a claim which is
    not bound yet can wait for minutes (kube-scheduler 1.34, with storage classes of binding mode
    ``Immediate``).
    """
    known = recorded(args, "passphrase", "secret_access_key")
    return {
        key: value for key, value in known.items() if key not in ("backend_store", "artifact_store")
    }


def _volume(
    backups: _Backups, args: BackupsArgs, opts: pulumi.ResourceOptions
) -> k8s.core.v1.PersistentVolumeClaim:
    """Make the claim of the volume that is the target."""
    described = metadata(
        backups.name,
        backups.namespace,
        backups.labels,
        # Most storage classes make a volume when its first pod starts, which is much later.
        {"pulumi.com/skipAwait": "true"},
    )
    described.owner_references = owner_references(backups.retention)
    return k8s.core.v1.PersistentVolumeClaim(
        f"{backups.name}-volume",
        metadata=described,
        spec=k8s.core.v1.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=args.get("storage_class"),
            resources=k8s.core.v1.VolumeResourceRequirementsArgs(
                requests={"storage": args.get("storage", BACKUP_STORAGE)}
            ),
        ),
        # A stack that changes to another target keeps the volume with its backups. The storage
        # class of a claim cannot change.
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(retain_on_delete=True, ignore_changes=["spec.storageClassName"]),
        ),
    )


def _target(
    backups: _Backups,
    args: BackupsArgs,
    passphrase: pulumi.Output[str],
    claim: k8s.core.v1.PersistentVolumeClaim | None,
    opts: pulumi.ResourceOptions,
) -> BackupTarget:
    """Make the Secrets of the target, and return the target."""
    ca, key = args.get("ca"), args.get("secret_access_key")
    bucket: dict[str, pulumi.Input[str] | None] = {
        "BACKUP_BUCKET": args.get("bucket"),
        "BACKUP_PREFIX": args.get("prefix"),
        "BACKUP_ENDPOINT": args.get("endpoint"),
        "BACKUP_REGION": args.get("region", REGION),
        "BACKUP_AWS_ACCESS_KEY_ID": args.get("access_key_id"),
        "BACKUP_AWS_SECRET_ACCESS_KEY": None if key is None else pulumi.Output.secret(key),
        "BACKUP_CA": f"{FILES}/{_CA_FILE}" if ca else None,
    }
    content: dict[str, pulumi.Input[str]] = {
        "BACKUP_STORE": backups.store,
        "BACKUP_PASSPHRASE": passphrase,
        **(
            {name: value for name, value in bucket.items() if value is not None}
            if backups.store == "s3"
            else {}
        ),
    }

    def secret(suffix: str, data: dict[str, pulumi.Input[str]]) -> pulumi.Input[str]:
        name = f"{backups.name}-{suffix}"
        return k8s.core.v1.Secret(
            name,
            metadata=metadata(name, backups.namespace, backups.labels),
            string_data=data,
            opts=opts,
        ).metadata.name

    existing = args.get("secret")
    return {
        "secret": secret("target", content),
        # The values include the passphrase, so nobody can guess another value from the hash.
        "fingerprint": fingerprint(*content.values(), ca or "", existing or ""),
        "more_secrets": [] if existing is None else [existing],
        "more_secrets_prefix": "BACKUP_",
        "files": [secret("target-files", {_CA_FILE: ca})] if ca else [],
        "client_labels": client_labels(backups.name) if backups.store == "s3" else {},
        "claim": claim.metadata.name if claim else None,
        "rclone_image": backups.rclone_image,
    }


def _way(backups: _Backups, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    """Make the network policy by which the pods reach the S3 endpoint."""
    return client_policy(
        backups.name,
        namespace=backups.namespace,
        labels=backups.labels,
        egress=[backups.endpoint],
        opts=opts,
    )


def _reached(backups: _Backups, target: BackupTarget) -> list[pulumi.Input[Credentials]]:
    """Return the backends of a pod that reaches the target, with the store if it is the target."""
    return [target, *([backups.artifacts] if backups.store == "artifacts" else [])]


def _saving(
    backups: _Backups,
    args: BackupsArgs,
    pods: PodOptions,
    target: BackupTarget,
    opts: pulumi.ResourceOptions,
) -> None:
    """Make the CronJob that makes backups. `make backup` makes Jobs from it too."""
    keys: Credentials = {
        "secret": f"{args.get('tracking_server', 'mlflow')}-keys",
        "fingerprint": "",
    }
    worn = labels(backups.name, "mlflow", "backup")
    cron_job(
        backups.name,
        namespace=backups.namespace,
        labels=worn,
        schedule=backups.schedule,
        usual="0 2 * * *",
        kept=1,
        seconds=SAVE_SECONDS,
        template=python_template(
            "mlflow_kubernetes.backup.save",
            arguments=[
                f"--keep={args.get('keep', '30d')}",
                *([] if args.get("artifacts", True) else ["--without-artifacts"]),
            ],
            labels=worn,
            image=backups.image,
            pods=pods,
            backends=[backups.database, backups.artifacts, target, keys],
            seconds=120,
            environment={"BACKUP_REASON": "schedule"},
            first=[
                database_tools.prepare(backups.image, [backups.database]),
                database_tools.tools(backups.rclone_image),
                database_tools.dump(backups.client_image),
                *(
                    [database_tools.base(backups.client_image, backups.replication)]
                    if backups.point_in_time
                    else []
                ),
            ],
            mounts=database_tools.mounts(),
            volumes=database_tools.volumes(target),
            most_scratch=database_tools.MOST_WORK,
            # A list of a million artifacts fits.
            most_memory="1Gi",
        ),
        opts=opts,
    )


def _verification(
    backups: _Backups,
    args: BackupsArgs,
    pods: PodOptions,
    target: BackupTarget,
    opts: pulumi.ResourceOptions,
) -> None:
    """Make the CronJob that restores the newest backup into a database of its own pod."""
    name = f"{backups.name}-verify"
    worn = labels(name, "mlflow", "backup")
    schedule = args.get("verify_schedule", WEEKLY)
    backends = _reached(backups, target)
    cron_job(
        name,
        namespace=backups.namespace,
        labels=worn,
        schedule=schedule if backups.schedule else None,
        usual=schedule or WEEKLY,
        kept=1,
        seconds=VERIFY_SECONDS,
        template=python_template(
            "mlflow_kubernetes.backup.verify",
            labels=worn,
            image=backups.image,
            pods=pods,
            backends=backends,
            seconds=120,
            user=database_tools.DATABASE_USER,
            first=[
                database_tools.tools(backups.rclone_image),
                database_tools.fetch(backups.image, backends),
                database_tools.scratch_server(backups.client_image),
                database_tools.restore(backups.client_image),
                *(
                    [database_tools.recover(backups.client_image, database_tools.RECOVERED)]
                    if backups.point_in_time
                    else []
                ),
            ],
            mounts=database_tools.mounts(),
            volumes=database_tools.volumes(target),
            most_scratch=database_tools.MOST_WORK,
            # A list of a million artifacts fits.
            most_memory="1Gi",
        ),
        opts=opts,
    )
