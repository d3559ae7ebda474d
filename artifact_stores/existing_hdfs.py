"""The choice ``mlflow:artifactStore existing-hdfs``: a folder of an HDFS that exists."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated

from annotated_types import Len
from pydantic import AfterValidator, Field

from artifact_stores._choice import Choice, Surroundings
from components import ExistingHdfs, ExistingHdfsArgs
from components._kubernetes.grammars import PORT, check_outside, object_name
from settings import values
from settings.declarations import Refuse
from settings.schema import SharedSettings
from settings.values import Kind

_URI = "hdfs://<host>:<port>/<folder>, or with a nameservice instead of both"


def _uri(text: str) -> str:
    match = re.fullmatch(
        rf"(hdfs|viewfs)://(?P<host>[-a-zA-Z0-9.]+)(:{PORT})?(?P<path>(/[-a-zA-Z0-9_.=]+)+)", text
    )
    if not match or not all(part.strip(".") for part in match["path"].split("/")[1:]):
        raise ValueError(text)
    check_outside(match["host"], _URI)
    return text


def _address(text: str) -> str:
    known = ipaddress.ip_address(text)
    if "%" in text or getattr(known, "ipv4_mapped", None):
        raise ValueError(text)
    return text


Uri = Annotated[str, AfterValidator(_uri), Kind(_URI)]
User = Annotated[
    str,
    AfterValidator(values.matches(r"[a-zA-Z_][-a-zA-Z0-9_.]{0,63}")),
    Kind("the name of an HDFS user, such as mlflow"),
]
Properties = Annotated[
    dict[Annotated[str, AfterValidator(values.matches(r"[-a-zA-Z0-9_.]+"))], values.Text],
    Kind(
        'properties with texts as values, such as {"dfs.nameservices": "prod"}',
        longest=values.LONGEST_FILE,
    ),
]
HostAliases = Annotated[
    dict[
        Annotated[str, AfterValidator(_address)],
        Annotated[list[Annotated[str, AfterValidator(object_name)]], Len(1)],
    ],
    Kind(
        'lists of host names by address, such as {"192.0.2.7": ["dn1.corp"]}',
        longest=values.LONGEST_FILE,
    ),
]


class ExistingHdfsSettings(SharedSettings):
    """An HDFS that exists"""

    hdfs_uri: Uri | None = Field(
        None,
        description="artifactStore existing-hdfs: folder for artifacts, "
        "hdfs://<host>:<port>/<folder>, or with a nameservice instead of host and port.",
    )
    hdfs_user: User = Field(
        "mlflow",
        description="artifactStore existing-hdfs: name of MLflow's user in HDFS. A Kerberos ticket "
        "replaces it.",
    )
    hdfs_configuration: Properties = Field(
        {},
        description="artifactStore existing-hdfs: properties of the cluster's core-site.xml and "
        "hdfs-site.xml.",
    )
    hdfs_host_aliases: HostAliases = Field(
        {},
        description="artifactStore existing-hdfs: host names of nodes that DNS does not know, by "
        "address.",
    )
    hdfs_kerberos_secret: values.SecretName | None = Field(
        None,
        description="artifactStore existing-hdfs: Secret of the namespace with the files krb5.conf "
        "and keytab.",
    )


def inputs(settings: ExistingHdfsSettings, around: Surroundings) -> ExistingHdfsArgs:
    """Return the inputs of the HDFS outside the stack."""
    return {
        "namespace": around.place.namespace,
        "retention": around.place.retention,
        "pods": around.pods,
        "server_image": settings.server_image,
        # The rules refuse artifactStore: existing-hdfs without an address.
        "uri": settings.hdfs_uri or "",
        "user": settings.hdfs_user,
        "configuration": settings.hdfs_configuration,
        "host_aliases": settings.hdfs_host_aliases,
        "kerberos_secret": settings.hdfs_kerberos_secret,
        "networks": settings.external_networks,
    }


def _make(name: str, settings: SharedSettings, around: Surroundings) -> ExistingHdfs:
    return ExistingHdfs(name, inputs(ExistingHdfsSettings.of(settings), around), around.opts)


def _rules(settings: SharedSettings, refuse: Refuse) -> Iterator[str]:
    """Refuse settings that are missing, or that contradict each other."""
    own = ExistingHdfsSettings.of(settings)
    if not own.hdfs_uri:
        yield refuse("hdfsUri", "with artifactStore: existing-hdfs, the address of a folder")
    else:
        # A host without a port is a nameservice, whose name is in the names of its properties.
        name = re.fullmatch(r"hdfs://([^/:]+)/.*", own.hdfs_uri)
        if name and not any(name[1] in key.split(".") for key in own.hdfs_configuration):
            yield refuse(
                "hdfsUri", "a host with its port, or a nameservice that hdfsConfiguration describes"
            )
    if own.hdfs_kerberos_secret:
        if own.backup_schedule and own.backup_artifacts:
            yield refuse(
                "backupArtifacts",
                "false with hdfsKerberosSecret: rclone gets no Kerberos ticket here",
            )
        if own.backup_store == "artifacts":
            yield refuse("backupStore", "volume or s3 with hdfsKerberosSecret")


CHOICE = Choice(
    ExistingHdfsSettings,
    ExistingHdfs,
    _make,
    outside="an HDFS",
    rules=_rules,
    rank=4,
)
