"""The only reader of ``pulumi.Config``: typed settings, and one clear line for each mistake."""

import difflib
import ipaddress
import json
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeGuard, cast, get_args

import pulumi
import pulumi.runtime.config

from components import Mysql, Postgres
from components._egress import ways_out
from components._kubernetes.uris import tls_conflict
from components.tracking_server import pool_size

BackendStoreKind = Literal["postgres", "mysql", "external"]
ArtifactStoreKind = Literal["minio", "hdfs", "s3", "existing-hdfs"]

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_QUANTITY = re.compile(r"([1-9][0-9]{0,8})(Mi|Gi|Ti)")
_MEBIBYTES = {"Mi": 1, "Gi": 1024, "Ti": 1024 * 1024}
_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
# A registry, a repository in it, then a tag or a digest (or both): the distribution project's
# grammar, with registries in small letters.
_REGISTRY = rf"(({_LABEL}(\.{_LABEL})+|localhost)(:{_PORT})?|{_LABEL}:{_PORT})"
_FOLDER = r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?P<name>({_REGISTRY}/)?{_FOLDER}(/{_FOLDER})*)"
    r"(?P<tag>:[a-zA-Z0-9_][-.a-zA-Z0-9_]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?"
)
_NAME = rf"{_LABEL}(\.{_LABEL})*"
# A host outside: letters of either size, and a last part that is no number, for "10.1" is read as
# an address by some and as a name by others.
_HOST_NAME = re.compile(
    r"(?=.{1,253}$)([a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?\.)*"
    r"[a-zA-Z]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?\.?"
)
# The address that SQLAlchemy reads, in the two forms that the server image has a driver for.
_DATABASE_URI = re.compile(
    r"(?P<driver>[\w+]+)://((?P<user>[^:/?#\[\]@\s]+)(:[^/?#\[\]@\s]*)?@)?"
    r"(?P<host>[^:/?@\s\[\]]+|\[[0-9a-fA-F:]+\])?(:(?P<port>[0-9]{1,5}))?"
    r"(/(?P<database>[^/?\s]+)?)?(\?\S*)?",
    re.ASCII,
)
_DRIVERS = ("postgresql+psycopg2", "mysql+pymysql")
_SECRETS = ("databaseUri", "authDatabaseUri", "s3SecretAccessKey")
"""Settings that are refused in clear."""
_PROXIES = ("httpsProxy", "httpProxy")
"""Settings that are refused in clear where they have a password in them."""
_MISTAKEN_FOR_SECRETS = ("databaseSecret", "s3Secret", "hdfsKerberosSecret", "s3AccessKeyId")
"""Settings into which people put the secret itself: a value that cannot be right is not shown."""
_OWN_SECRETS = re.compile(
    r"(mlflow|postgres|mysql|minio(-s3|-console)?|hdfs|s3|existing-hdfs|external-database|workspace"
    r"|ingress)"
    r"-(server|root|credentials|check|token|keys|egress|users|user-.*|certificate|tls)(-files)?"
)
"""Names of Secrets that the stack writes; a test compares them with what it asks for."""
_CRON_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
"""The least and the greatest number of minute, hour, day, month and day of the week."""
_SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
# Characters that XML has no place for, or YAML, as which objects are sent to be applied; and halves
# of pairs, which cannot be sent at all.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
SERVERS_OWN_PATHS = {
    *("ajax-api", "api", "build", "gateway", "get-artifact", "graphql", "health"),
    *("model-versions", "signup", "static-files", "v1", "version"),
}
"""With what the paths of MLflow's server begin: pods ask for them without the path of the host.
tests/e2e/test_9_attacks.py compares them with what a running server has."""
_CHANGES_PATHS = "because it changes the path of each request"
_UNFIT_ANNOTATIONS = {
    "rewrite-target": (".*", _CHANGES_PATHS),
    "path-rewrite": (".*", _CHANGES_PATHS),
    "rewrites": (".*", _CHANGES_PATHS),
    "app-root": (".*", "because the page is at /"),
    "permanent-redirect": (".*", "because it answers in the server's place"),
    "temporal-redirect": (".*", "because it answers in the server's place"),
    "canary": ("(?i)true", "because a canary alone serves nothing"),
    "backend-protocol": ("(?i)(?!(auto_)?http$).*", "because the servers speak plain HTTP"),
    "secure-backends": ("(?i)true", "because the servers speak plain HTTP"),
    "ssl-passthrough": ("(?i)true", "because the servers speak plain HTTP"),
    "upstream-vhost": (".*", "because each server answers to its own host name"),
    "custom-http-errors": (".*4[0-9]{2}.*", "because clients read the server's own errors"),
}
"""Annotations with which no client reaches MLflow, by the name after the controller's prefix: the
values that do so, and why. Source: the documentation of ingress-nginx, HAProxy and NGINX."""
_LONGEST = 4096
"""Bytes of a setting: an environment has room for 128 KiB in all."""
_LONGEST_FILE = 200_000
"""Bytes of a setting that becomes a file or annotations, for which Kubernetes has 256 KiB."""
_FILES = (
    "s3Ca",
    "databaseCa",
    "egressCa",
    "hdfsConfiguration",
    "hdfsHostAliases",
    "ingressAnnotations",
)


class Refused(Exception):  # noqa: N818 (it is what happened to the value, not a failure of ours)
    """A value was not accepted; the text says what is."""


def _is_name(text: str) -> bool:
    """Say whether Kubernetes takes a name for an object, or DNS for a host."""
    return len(text) <= 253 and re.fullmatch(_NAME, text) is not None


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"0|-?[1-9][0-9]{0,8}", text) or not low <= int(text) <= high:
            raise Refused(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise Refused("true or false")
    return text == "true"


def _choice(*accepted: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in accepted:
            raise Refused(" or ".join(accepted))
        return text

    return parse


def _namespace(text: str) -> str:
    if not re.fullmatch(_LABEL, text) or text in _SYSTEM_NAMESPACES or text.startswith("kube-"):
        raise Refused(
            "a name of its own, of 1 to 63 small letters, digits and dashes, neither default nor "
            "kube-..., because it is removed with the stack"
        )
    return text


def _host(text: str) -> str:
    expected = (
        "a DNS name of small letters, such as mlflow.example.com, without port, path or scheme"
    )
    # A last part that begins with a digit is an address, or taken for one.
    if len(text) > 253 or not re.fullmatch(rf"({_LABEL}\.)+(?![0-9]){_LABEL}", text):
        raise Refused(expected)
    return text


def _host_and_path(text: str) -> str:
    host, slash, path = text.partition("/")
    _host(host)
    fit = re.fullmatch(r"[a-zA-Z0-9][-a-zA-Z0-9_.]*(/[a-zA-Z0-9][-a-zA-Z0-9_.]*)*", path)
    if slash and (not fit or len(path) > 100):
        raise Refused("a DNS name, and a path such as /mlflow without / at its end")
    if path.partition("/")[0] in SERVERS_OWN_PATHS:
        raise Refused("a DNS name, and a path that does not begin with one of MLflow's own")
    return text


def _outside(host: str, accepted: str) -> None:
    """Refuse what cannot be the host of somebody else's server."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        if not _HOST_NAME.fullmatch(host):
            raise Refused(accepted) from None
        itself = f".{host.lower().rstrip('.')}".endswith(".localhost")
    else:
        address = getattr(address, "ipv4_mapped", None) or address
        itself = address.is_loopback or address.is_unspecified
    if itself:
        raise Refused(f"{accepted}; its host is this machine, which in a pod is the pod itself")


def _schedule(text: str) -> str | None:
    accepted = "five fields of cron, such as 0 3 * * * (every day at 3:00 UTC), or nothing"
    fields = text.split()
    if text and (len(fields) != 5 or not all(map(_is_cron_field, fields, _CRON_FIELDS))):
        raise Refused(accepted)
    return " ".join(fields) or None


def _is_cron_field(text: str, limits: tuple[int, int]) -> bool:
    """Say whether a field of a cron expression is numbers, ranges and steps within the limits."""
    low, high = limits
    for part in text.split(","):
        match = re.fullmatch(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([1-9][0-9]?))?", part)
        first, last, step = match.groups() if match else ("", "", "")
        begin, end = int(first or low), int(last or first or high)
        if not match or not low <= begin <= end <= high or int(step or 1) > high:
            return False
    return True


def _age(text: str) -> str:
    if not text or not re.fullmatch(
        r"([0-9]{1,5}d)?([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?", text
    ):
        raise Refused("days, hours, minutes and seconds in this order, such as 30d or 1d12h")
    return text


def mebibytes(text: str) -> int:
    """Return a quantity such as ``8Gi`` in MiB.

    Raises:
        Refused: if it is not a whole number of Mi, Gi or Ti.
    """
    if not (match := _QUANTITY.fullmatch(text)):
        raise Refused("a whole number of Mi, Gi or Ti, such as 8Gi")
    return int(match[1]) * _MEBIBYTES[match[2]]


def _quantity(low: str, high: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not mebibytes(low) <= mebibytes(text) <= mebibytes(high):
            raise Refused(f"a size from {low} to {high}")
        return text

    return parse


def _image(text: str) -> str:
    match = _IMAGE.fullmatch(text)
    if (
        not match
        or len(match["name"]) > 128
        or not (match["tag"] or match["digest"])
        or match["tag"] == ":latest"
    ):
        raise Refused("an image with a tag other than latest, or a digest, such as postgres:18.6")
    return text


def mirrored(image: str, registry: str | None) -> str:
    """Return an image's name in a registry, unless it names one of its own."""
    host, slash, _ = image.partition("/")
    own = slash and ("." in host or ":" in host or host == "localhost")
    return image if own or not registry else f"{registry}/{image}"


def _registry(text: str) -> str | None:
    # With an image's own name it has to stay below 255.
    if text and not re.fullmatch(rf"(?=.{{1,126}}$){_REGISTRY}(/{_FOLDER})*", text):
        raise Refused("a registry and a folder in it, such as registry.example.com:5000/mirror")
    return text or None


def _database_uri(text: str) -> str | None:
    if not text:
        return None
    accepted = f"{' or '.join(_DRIVERS)}://user:password@host:port/database, % for special letters"
    match = _DATABASE_URI.fullmatch(text)
    if not match or not re.fullmatch("[!-~]+", text):
        raise Refused(accepted)
    if match["driver"] not in _DRIVERS:
        raise Refused(f"{accepted}; the image has no other driver than these two")
    if missing := [part for part in ("user", "host", "port", "database") if not match[part]]:
        raise Refused(f"{accepted}; it has no {' and no '.join(missing)}")
    _outside(match["host"].replace("_", "x"), accepted)  # which some networks have in names
    if not 1 <= int(match["port"]) <= 65535:
        raise Refused(f"{accepted}; there are ports from 1 to 65535")
    return text


def _object_name(kind: str) -> Callable[[str], str | None]:
    def parse(text: str) -> str | None:
        if text and not _is_name(text):
            raise Refused(f"the name of a {kind}: small letters, digits, dashes")
        if kind == "Secret" and _OWN_SECRETS.fullmatch(text):
            raise Refused("the name of a Secret of the namespace that this stack does not write")
        return text or None

    return parse


def _endpoint(text: str) -> str | None:
    if not text:
        return None
    accepted = "http:// or https://, a host, and a port if need be, without path or bucket"
    match = re.fullmatch(rf"https?://(?P<host>[-a-zA-Z0-9.]+|\[[0-9a-fA-F:.]+\])(:{_PORT})?", text)
    if not match:
        raise Refused(accepted)
    _outside(match["host"], accepted)
    return text


def _egress(text: str) -> list[str]:
    ways: list[object] | None = _json(text, list)
    accepted: list[str] = []
    try:
        accepted += [way for way in ways or [] if isinstance(way, str) and ways_out([way])]
    except ValueError:
        ways = None
    if ways is None or accepted != ways:
        raise Refused(
            'a list of ways out, each "internet", a network such as "192.0.2.0/24" or a namespace '
            'such as "models", and ":<port>" if need be; policies know no host names'
        )
    return accepted


def _proxy(text: str) -> str | None:
    if not text:
        return None
    accepted = "http:// or https://, user:password@ if need be, a host, and a port"
    login = r"[^:/?#\[\]@\s]+(:[^/?#\[\]@\s]*)?@"
    match = re.fullmatch(
        rf"https?://({login})?(?P<host>[-a-zA-Z0-9.]+|\[[0-9a-fA-F:.]+\]):{_PORT}/?", text
    )
    if not match or not re.fullmatch("[!-~]+", text):
        raise Refused(accepted)
    _outside(match["host"], accepted)
    return text.rstrip("/")


def _no_proxy(text: str) -> list[str]:
    hosts: list[object] | None = _json(text, list)
    accepted = [host for host in hosts or [] if isinstance(host, str) and _is_host(host)]
    if hosts is None or accepted != hosts:
        raise Refused('a list of hosts, or of domains as ".example.com", without port or scheme')
    return accepted


def _is_host(text: str) -> bool:
    """Say whether a text is an address, a host's name, or a domain with a dot in front."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST_NAME.fullmatch(text.removeprefix(".")) is not None
    return True


def _bucket(text: str) -> str | None:
    # Not what looks like an address, which S3 refuses.
    pattern = rf"(?=.{{3,63}}$)(?!([0-9]+\.){{3}}[0-9]+$){_LABEL}(\.{_LABEL})*"
    if text and not re.fullmatch(pattern, text):
        raise Refused("a bucket's name alone, of 3 to 63 small letters, digits, dashes and dots")
    return text or None


def _prefix(text: str) -> str | None:
    parts = text.split("/")
    fit = all(re.fullmatch(r"[-a-zA-Z0-9_.!*'()]+", part) and part.strip(".") for part in parts)
    if text and (not fit or len(text) > 512):
        raise Refused("a folder such as team/mlflow, without / at its ends, empty or dotted parts")
    return text or None


def _region(text: str) -> str:
    if len(text) > 63 or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", text):
        raise Refused("a region of small letters, digits and dashes, such as eu-central-1")
    return text


def _key_part(text: str) -> str | None:
    if text and not re.fullmatch(r"[!-~]{3,128}", text):
        raise Refused("3 to 128 letters, digits and signs without blanks")
    return text or None


def _certificates(text: str) -> str | None:
    if not text:
        return None
    try:
        if "PRIVATE KEY" in text or not text.isascii():
            raise ValueError
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        accepted = "certificates as PEM, from -----BEGIN CERTIFICATE----- on, and no key"
        raise Refused(accepted) from None
    return text


def _hdfs_uri(text: str) -> str | None:
    if not text:
        return None
    accepted = "hdfs://<host>:<port>/<folder>, or with a nameservice instead of both"
    match = re.fullmatch(
        rf"(hdfs|viewfs)://(?P<host>[-a-zA-Z0-9.]+)(:{_PORT})?(?P<path>(/[-a-zA-Z0-9_.=]+)+)", text
    )
    if not match or not all(part.strip(".") for part in match["path"].split("/")[1:]):
        raise Refused(accepted)
    _outside(match["host"], accepted)
    return text


def _hdfs_user(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z_][-a-zA-Z0-9_.]{0,63}", text):
        raise Refused("the name of an HDFS user, such as mlflow")
    return text


def _properties(text: str) -> dict[str, str]:
    properties: dict[str, object] | None = _json(text, dict)
    accepted = {
        key: value
        for key, value in (properties or {}).items()
        if re.fullmatch(r"[-a-zA-Z0-9_.]+", key) and _is_text(value)
    }
    if properties is None or accepted != properties:
        raise Refused('properties with texts as values, such as {"dfs.nameservices": "prod"}')
    return accepted


def _host_aliases(text: str) -> dict[str, list[str]]:
    aliases: dict[str, object] | None = _json(text, dict)
    accepted: dict[str, list[str]] = {}
    for address, names in (aliases or {}).items():
        try:
            known = ipaddress.ip_address(address)
            if "%" in address or getattr(known, "ipv4_mapped", None):
                raise ValueError(address)
            accepted[address] = _names(names)
        except ValueError:
            aliases = None
    if aliases is None:
        raise Refused('lists of host names by address, such as {"192.0.2.7": ["dn1.corp"]}')
    return accepted


def _names(value: object) -> list[str]:
    given = cast("list[object]", value) if isinstance(value, list) else []
    names = [name for name in given if isinstance(name, str) and _is_name(name)]
    if not names or names != given:
        raise ValueError(given)
    return names


def _gateway(text: str) -> str | None:
    short = all(len(part) <= 253 for part in text.split("/"))
    if text and not (short and re.fullmatch(rf"{_LABEL}/{_NAME}(/{_NAME})?", text)):
        raise Refused("<namespace>/<name> of a Gateway, and /<listener> if it has several")
    return text or None


def _class_name(text: str) -> str | None:
    if text and not _is_name(text):
        raise Refused("the name of a class in the cluster, or nothing for its default")
    return text or None


def _json(text: str, kind: type) -> Any:
    """Return a list's or an object's value; the engine hands both over as JSON."""
    try:
        value = json.loads(text, object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, kind) else None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("the same key twice")
    return dict(pairs)


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and not _UNFIT.search(value)


def _hosts(text: str) -> list[str]:
    hosts: list[object] | None = _json(text, list)
    # A star may not be all that a name ends in, or any name would do; addresses end in one.
    name = r"([-a-zA-Z0-9_*]+\.)*[-a-zA-Z0-9_]*[a-zA-Z0-9]"
    pattern = re.compile(rf"({name}|([0-9]{{1,3}}\.){{1,3}}\*|\[[0-9a-fA-F:]+\])(:(\*|{_PORT}))?")
    accepted = [
        host
        for host in hosts or []
        if isinstance(host, str) and (pattern.fullmatch(host) or _is_network(host))
    ]
    if hosts is None or accepted != hosts:
        raise Refused(
            'a list of host names, patterns or networks, such as ["mlflow.corp", "100.64.0.0/10"], '
            'but not "*"'
        )
    return accepted


def _is_network(text: str) -> bool:
    """Say whether a text is a network with a prefix, and not every address there is."""
    try:
        return "/" in text and ipaddress.ip_network(text).prefixlen > 0
    except ValueError:
        return False


def _existing_namespace(text: str) -> str:
    if not re.fullmatch(_LABEL, text):
        raise Refused("a namespace's name, of 1 to 63 small letters, digits and dashes")
    return text


def _namespaces(text: str) -> list[str]:
    names: list[object] | None = _json(text, list)
    if names is None or not all(
        isinstance(name, str) and re.fullmatch(_LABEL, name) for name in names
    ):
        raise Refused('a list of namespaces\' names, such as ["training"]')
    return [str(name) for name in names]


def _networks(text: str) -> list[str]:
    networks: list[object] | None = _json(text, list)
    accepted = 'a list of networks without host bits, such as ["192.0.2.0/24"]'
    if networks is None or not all(
        isinstance(one, str) and re.fullmatch(r"[0-9a-fA-F.:]+/[0-9.]+", one) for one in networks
    ):
        raise Refused(accepted)
    try:
        return [str(ipaddress.ip_network(str(one))) for one in networks]
    except ValueError:
        raise Refused(accepted) from None


def _annotations(text: str) -> dict[str, str]:
    annotations: dict[str, object] | None = _json(text, dict)
    name = re.compile(rf"({_LABEL}(\.{_LABEL})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")
    accepted = {
        key: value
        for key, value in (annotations or {}).items()
        if name.fullmatch(key) and len(key.partition("/")[0]) <= 253 and _is_text(value)
    }
    if annotations is None or accepted != annotations:
        raise Refused('annotation names with texts as values, such as {"example.com/a": "true"}')
    # They tell the engine how to make an object, which this program does.
    if any(re.match(r"([^/]+\.)?pulumi\.com/", key) for key in accepted):
        raise Refused("annotation names outside of pulumi.com/")
    for key, value in accepted.items():
        values, reason = _UNFIT_ANNOTATIONS.get(key.rpartition("/")[2], ("(?!)", ""))
        if re.fullmatch(values, value, re.DOTALL):
            raise Refused(f"annotations without {key}: {value!r:.100}, {reason}")
    return accepted


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting of Pulumi.yaml, as a value that can be trusted."""

    namespace: str
    create_namespace: bool
    backend_store: BackendStoreKind
    artifact_store: ArtifactStoreKind
    artifact_access: str
    tracking_host: str
    artifact_host: str
    artifact_console_host: str
    allowed_hosts: list[str]
    client_namespaces: list[str]
    replicas: int
    autoscaled: bool
    workers: int
    server_memory: str
    job_execution: bool
    gc_schedule: str | None
    gc_older_than: str
    database_storage: str
    artifact_storage: str
    storage_class: str | None
    hdfs_data_nodes: int
    hdfs_replication: int
    hdfs_uri: str | None
    hdfs_user: str
    hdfs_configuration: dict[str, str]
    hdfs_host_aliases: dict[str, list[str]]
    hdfs_kerberos_secret: str | None
    protect_data: bool
    auth: str
    auth_database_uri: str | None = field(repr=False)
    database_uri: str | None = field(repr=False)
    database_secret: str | None
    database_ca: str | None
    database_connections: int
    s3_endpoint: str | None
    s3_bucket: str | None
    s3_prefix: str | None
    s3_region: str
    s3_access_key_id: str | None
    s3_secret_access_key: str | None = field(repr=False)
    s3_secret: str | None
    s3_service_account: str | None
    s3_ca: str | None
    external_networks: list[str]
    egress: list[str]
    https_proxy: str | None = field(repr=False)
    http_proxy: str | None = field(repr=False)
    no_proxy: list[str]
    egress_ca: str | None
    image_registry: str | None
    server_image: str
    postgres_image: str
    mysql_image: str
    minio_image: str
    hdfs_image: str
    client_workspace: bool
    workspace_host: str
    workspace_storage: str
    workspace_memory: str
    workspace_image: str
    ingress_class: str | None
    ingress_annotations: dict[str, str]
    ingress_wait_seconds: int
    tls: str
    tls_secret: str | None
    tls_issuer: str | None
    gateway: str | None
    ingress_namespace: str

    @classmethod
    def load(cls) -> Self:
        """Read the stack's settings; the engine has put in the defaults of Pulumi.yaml.

        Raises:
            pulumi.RunError: with one line for each mistake, before any resource exists.
        """
        project = pulumi.get_project()
        given = {
            key.removeprefix(f"{project}:"): value
            for key, value in pulumi.runtime.config.CONFIG.get().items()
            if key.startswith(f"{project}:")
        }
        values: dict[str, Any] = {}
        mistakes = [_unknown(key) for key in sorted(set(given) - set(PARSERS))]
        for key, parse in PARSERS.items():
            if key not in given:
                mistakes.append(f"{project}:{key}: missing; its default is in Pulumi.yaml")
                continue
            try:
                secret = key in _SECRETS or (key in _PROXIES and "@" in given[key])
                if secret and given[key] and not _encrypted(key):
                    raise Refused(
                        f"an encrypted value, by `pulumi config set --secret {project}:{key}`"
                    )
                longest = _LONGEST_FILE if key in _FILES else _LONGEST
                if len(given[key].encode(errors="replace")) > longest:
                    raise Refused(f"{longest} bytes at most")
                values[_attribute(key)] = parse(given[key])
            except Refused as accepted:
                shown = "[secret]" if key in _MISTAKEN_FOR_SECRETS else _shown(key, given[key])
                mistakes.append(f"{project}:{key}: {shown}; accepted: {accepted}")
        if mistakes:
            raise pulumi.RunError("\n".join(mistakes))
        for name in [name for name in values if name.endswith("_image")]:
            values[name] = mirrored(values[name], values["image_registry"])
        settings = cls(**values)
        if contradictions := _contradictions(settings):
            raise pulumi.RunError("\n".join(f"{project}:{line}" for line in contradictions))
        return settings

    @property
    def connections(self) -> int:
        """How many connections the chosen backend store allows."""
        if self.backend_store == "external":
            return self.database_connections
        return {"postgres": Postgres.connections, "mysql": Mysql.connections}[self.backend_store]

    @property
    def hosts(self) -> dict[str, str]:
        """Every host name on the ingress, by the setting that gives it."""
        hosts = {"trackingHost": self.tracking_host.partition("/")[0]}
        if self.artifact_store == "minio":
            hosts["artifactHost"] = self.artifact_host
            hosts["artifactConsoleHost"] = self.artifact_console_host
        if self.client_workspace:
            hosts["workspaceHost"] = self.workspace_host
        return hosts

    @property
    def tracking_path(self) -> str:
        """The path of the tracking server on its host, such as `/mlflow`; empty for all of it."""
        return self.tracking_host.removeprefix(self.hosts["trackingHost"])

    @property
    def possible_hosts(self) -> list[str]:
        """Every host name that is ever on the ingress, whichever of its parts the stack has."""
        return [
            self.hosts["trackingHost"],
            self.artifact_host,
            self.artifact_console_host,
            self.workspace_host,
        ]


PARSERS: dict[str, Callable[[str], object]] = {
    "namespace": _namespace,
    "createNamespace": _boolean,
    "backendStore": _choice(*get_args(BackendStoreKind)),
    "artifactStore": _choice(*get_args(ArtifactStoreKind)),
    "artifactAccess": _choice("proxied", "direct"),
    "trackingHost": _host_and_path,
    "artifactHost": _host,
    "artifactConsoleHost": _host,
    "allowedHosts": _hosts,
    "clientNamespaces": _namespaces,
    "replicas": _integer(1, 20),
    "autoscaled": _boolean,
    "workers": _integer(1, 16),
    "serverMemory": _quantity("256Mi", "64Gi"),
    "jobExecution": _boolean,
    "gcSchedule": _schedule,
    "gcOlderThan": _age,
    "databaseStorage": _quantity("100Mi", "64Ti"),
    "artifactStorage": _quantity("100Mi", "64Ti"),
    "storageClass": _class_name,
    "hdfsDataNodes": _integer(1, 100),
    "hdfsReplication": _integer(1, 100),
    "hdfsUri": _hdfs_uri,
    "hdfsUser": _hdfs_user,
    "hdfsConfiguration": _properties,
    "hdfsHostAliases": _host_aliases,
    "hdfsKerberosSecret": _object_name("Secret"),
    "protectData": _boolean,
    "auth": _choice("basic", "none"),
    "databaseUri": _database_uri,
    "authDatabaseUri": _database_uri,
    "databaseSecret": _object_name("Secret"),
    "databaseCa": _certificates,
    "databaseConnections": _integer(1, 100000),
    "s3Endpoint": _endpoint,
    "s3Bucket": _bucket,
    "s3Prefix": _prefix,
    "s3Region": _region,
    "s3AccessKeyId": _key_part,
    "s3SecretAccessKey": _key_part,
    "s3Secret": _object_name("Secret"),
    "s3ServiceAccount": _object_name("service account"),
    "s3Ca": _certificates,
    "externalNetworks": _networks,
    "egress": _egress,
    "httpsProxy": _proxy,
    "httpProxy": _proxy,
    "noProxy": _no_proxy,
    "egressCa": _certificates,
    "imageRegistry": _registry,
    "serverImage": _image,
    "postgresImage": _image,
    "mysqlImage": _image,
    "minioImage": _image,
    "hdfsImage": _image,
    "clientWorkspace": _boolean,
    "workspaceHost": _host,
    "workspaceStorage": _quantity("100Mi", "64Ti"),
    "workspaceMemory": _quantity("512Mi", "1Ti"),
    "workspaceImage": _image,
    "ingressClass": _class_name,
    "ingressAnnotations": _annotations,
    "ingressWaitSeconds": _integer(0, 600),
    "tls": _choice("none", "generated", "secret", "cert-manager", "gateway"),
    "tlsSecret": _object_name("Secret"),
    "tlsIssuer": _object_name("ClusterIssuer"),
    "gateway": _gateway,
    "ingressNamespace": _existing_namespace,
}
"""How each setting is read; its keys are those of Pulumi.yaml, which a test compares."""


def _attribute(key: str) -> str:
    return re.sub(r"[A-Z]", lambda capital: f"_{capital[0].lower()}", key)


def _encrypted(key: str) -> bool:
    return pulumi.runtime.config.is_config_secret(f"{pulumi.get_project()}:{key}")


def _shown(key: str, value: object) -> str:
    """Return a value as a line may show it."""
    text = str(value)
    # With a user and a password in it, an address is one.
    telling = "PRIVATE KEY" in text or re.search("://.*@", text)
    hidden = key in _SECRETS or _encrypted(key) or telling
    return "[secret]" if hidden else repr(value if len(text) <= 100 else f"{text[:100]}...")


def _unknown(key: str) -> str:
    close = difflib.get_close_matches(key, PARSERS, n=1)
    key = key if key.isprintable() else repr(key)
    hint = f"did you mean {close[0]}?" if close else f"accepted: {', '.join(PARSERS)}"
    return f"{pulumi.get_project()}:{key}: no such setting; {hint}"


def _contradictions(settings: Settings) -> list[str]:
    """Return a line for each pair of settings that cannot hold together."""
    found: list[str] = []
    hosts = settings.hosts
    names = list(hosts)
    for index, key in enumerate(names):
        for other in names[:index]:
            if hosts[key] == hosts[other]:
                found.append(f"{key}: {hosts[key]!r}; accepted: a name other than {other}'s")
    # With 2 workers 250 MiB at rest and 380 after load were measured, 1.4 GB with job runners.
    needed = 128 + 128 * settings.workers + (1536 if settings.job_execution else 0)
    if mebibytes(settings.server_memory) < needed:
        found.append(
            f"serverMemory: {settings.server_memory!r}; accepted: {needed}Mi or more with workers: "
            f"{settings.workers} and jobExecution: {str(settings.job_execution).lower()}"
        )
    if settings.hdfs_replication > settings.hdfs_data_nodes:
        found.append(
            f"hdfsReplication: {settings.hdfs_replication}; accepted: hdfsDataNodes, which is "
            f"{settings.hdfs_data_nodes}, or less"
        )
    try:
        auth = settings.auth == "basic"
        pool_size(settings.connections, settings.replicas, settings.workers, auth=auth)
    except pulumi.RunError as error:
        found.append(str(error))
    stores = (settings.backend_store, settings.artifact_store)
    if settings.external_networks and not {"external", "s3", "existing-hdfs"} & {*stores}:
        accepted = "nothing, unless backendStore or artifactStore is outside the stack"
        found.append(_refusal(settings, "externalNetworks", accepted))
    return [
        *found,
        *_database_contradictions(settings),
        *_hdfs_contradictions(settings),
        *_s3_contradictions(settings),
        *_tls_contradictions(settings),
        *_annotation_contradictions(settings),
        *_egress_contradictions(settings),
        *_job_contradictions(settings),
    ]


def _refusal(settings: Settings, key: str, accepted: str) -> str:
    return f"{key}: {_shown(key, getattr(settings, _attribute(key)) or '')}; accepted: {accepted}"


def _given(settings: Settings, *keys: str) -> list[str]:
    return [key for key in keys if getattr(settings, _attribute(key))]


def _database_contradictions(settings: Settings) -> list[str]:
    """Return a line for each setting of somebody else's database that is missing or too much."""
    where = _given(settings, "databaseUri", "databaseSecret")
    if settings.backend_store != "external":
        accepted = "only with backendStore: external, or they are two databases at once"
        given = [*where, *_given(settings, "authDatabaseUri", "databaseCa")]
        return [_refusal(settings, key, accepted) for key in given]
    if not where:
        accepted = "an address, or a Secret's name in databaseSecret"
        return [_refusal(settings, "databaseUri", accepted)]
    if len(where) > 1:
        accepted = "nothing beside databaseUri: two databases at once"
        return [_refusal(settings, "databaseSecret", accepted)]
    return [*_users_contradictions(settings), *_authority_contradictions(settings)]


def _authority_contradictions(settings: Settings) -> list[str]:
    """Return a line for each address that cannot be had with the authority that is given."""
    addresses = {
        "databaseUri": settings.database_uri,
        "authDatabaseUri": settings.auth_database_uri,
    }
    return [
        _refusal(settings, key, f"beside databaseCa, an address without {conflict}")
        for key, address in addresses.items()
        if settings.database_ca and address and (conflict := tls_conflict(address))
    ]


def _users_contradictions(settings: Settings) -> list[str]:
    """Return a line where the database of users is missing or too much."""
    users = settings.auth_database_uri
    accepted = None
    if settings.auth == "none" and users:
        accepted = "nothing with auth: none, which has no users"
    elif settings.database_secret and users:
        accepted = "nothing beside databaseSecret, whose key MLFLOW_AUTH_DATABASE_URI is read"
    elif settings.auth == "basic" and not (users or settings.database_secret):
        accepted = "the address of a database for users, which may be databaseUri's; or auth: none"
    return [_refusal(settings, "authDatabaseUri", accepted)] if accepted else []


def _hdfs_contradictions(settings: Settings) -> list[str]:
    """Return a line for each setting of somebody else's HDFS that is missing or too much."""
    keys = ("hdfsUri", "hdfsConfiguration", "hdfsHostAliases", "hdfsKerberosSecret")
    if settings.artifact_store != "existing-hdfs":
        accepted = "only with artifactStore: existing-hdfs, or they are two stores at once"
        return [_refusal(settings, key, accepted) for key in _given(settings, *keys)]
    if not settings.hdfs_uri:
        accepted = "with artifactStore: existing-hdfs, the address of a folder"
        return [_refusal(settings, "hdfsUri", accepted)]
    # Without a port it is the name of a nameservice, whose properties have it in their names.
    name = re.fullmatch(r"hdfs://([^/:]+)/.*", settings.hdfs_uri)
    if name and not any(name[1] in key.split(".") for key in settings.hdfs_configuration):
        accepted = "a host with its port, or a nameservice that hdfsConfiguration describes"
        return [_refusal(settings, "hdfsUri", accepted)]
    return []


def _s3_contradictions(settings: Settings) -> list[str]:
    """Return a line for each setting of somebody else's bucket that is missing or too much."""
    parts = ("s3AccessKeyId", "s3SecretAccessKey")
    ways = ("s3Secret", "s3ServiceAccount")
    if settings.artifact_store != "s3":
        accepted = "only with artifactStore: s3, or they are two stores at once"
        given = _given(settings, "s3Bucket", "s3Endpoint", "s3Prefix", "s3Ca", *parts, *ways)
        return [_refusal(settings, key, accepted) for key in given]
    found: list[str] = []
    if not settings.s3_bucket:
        accepted = "with artifactStore: s3, the name of a bucket that exists"
        found.append(_refusal(settings, "s3Bucket", accepted))
    half = _given(settings, *parts)
    if len(half) == 1:
        (lacking,) = set(parts) - {*half}
        found.append(_refusal(settings, lacking, f"the other half of {half[0]}"))
    keys = [*half[:1], *_given(settings, *ways)]
    for key in keys[1:]:
        found.append(_refusal(settings, key, f"nothing beside {keys[0]}: one key is enough"))
    if settings.s3_ca and not (settings.s3_endpoint or "").startswith("https://"):
        accepted = "nothing, unless s3Endpoint is an https:// address"
        found.append(_refusal(settings, "s3Ca", accepted))
    return found


def _tls_contradictions(settings: Settings) -> list[str]:
    """Return a line for each setting of the certificate that is missing or too much."""
    found: list[str] = []
    for way, key, accepted in (
        ("secret", "tlsSecret", "the name of a Secret of type kubernetes.io/tls"),
        ("cert-manager", "tlsIssuer", "the name of a ClusterIssuer"),
    ):
        given = _given(settings, key)
        if given and settings.tls != way:
            found.append(_refusal(settings, key, f"only with tls: {way}"))
        if not given and settings.tls == way:
            found.append(_refusal(settings, key, f"with tls: {way}, {accepted}"))
    if settings.gateway:
        if settings.tls not in ("none", "gateway"):
            accepted = "none or gateway, where a gateway is set: its listener has the certificate"
            found.append(_refusal(settings, "tls", accepted))
        if settings.ingress_annotations:
            accepted = "nothing beside gateway: there is no Ingress"
            found.append(_refusal(settings, "ingressAnnotations", accepted))
        # Left at its default it would keep the Gateway out, and every request hang.
        if settings.ingress_namespace == "ingress-nginx":
            accepted = "with gateway, the namespace of the Gateway's own pods"
            found.append(_refusal(settings, "ingressNamespace", accepted))
    # A route without a listener is on all of them, and so on the one for plain HTTP.
    if settings.tls == "gateway" and (settings.gateway or "").count("/") < 2:
        accepted = "with tls: gateway, <namespace>/<name>/<listener>, the listener that has TLS"
        found.append(_refusal(settings, "gateway", accepted))
    return found


def _annotation_contradictions(settings: Settings) -> list[str]:
    """Return a line for each annotation that does not go with another setting."""
    found: list[str] = []
    names = {key.rpartition("/")[2] for key in settings.ingress_annotations}
    if settings.ingress_class and "kubernetes.io/ingress.class" in settings.ingress_annotations:
        accepted = (
            "no kubernetes.io/ingress.class beside ingressClass: Kubernetes takes one of both"
        )
        found.append(_refusal(settings, "ingressAnnotations", accepted))
    if settings.auth == "basic" and "auth-type" in names:
        accepted = "no auth-type with auth: basic: a request has one user and password"
        found.append(_refusal(settings, "ingressAnnotations", accepted))
    return found


def _egress_contradictions(settings: Settings) -> list[str]:
    """Return a line for each setting of outgoing calls that has no effect."""
    proxies = _given(settings, *_PROXIES)
    found: list[str] = []
    if not settings.egress:
        accepted = "beside it, a way to the proxy in egress"
        found += [_refusal(settings, key, accepted) for key in proxies]
    if settings.no_proxy and not proxies:
        found.append(_refusal(settings, "noProxy", "nothing without httpsProxy or httpProxy"))
    if settings.egress_ca and not (settings.egress or settings.job_execution):
        found.append(_refusal(settings, "egressCa", "nothing without egress: no call goes out"))
    return found


def _job_contradictions(settings: Settings) -> list[str]:
    """Return a line for each setting by which jobs had several queues, one in each pod."""
    if not settings.job_execution:
        return []
    found: list[str] = []
    if settings.replicas > 1:
        accepted = "1 with jobExecution: true, whose queue is in the pod; more workers are accepted"
        found.append(_refusal(settings, "replicas", accepted))
    if settings.autoscaled:
        accepted = "false with jobExecution: true, whose queue is in the pod"
        found.append(_refusal(settings, "autoscaled", accepted))
    return found
