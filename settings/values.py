"""The values that a setting can have: grammars of Kubernetes, S3 and database addresses.

Each type has a ``Kind``: the text for users when a value is refused, and the privacy of the value.
pydantic checks the Python type and calls the grammar. A grammar raises ``ValueError`` if the kind's
text is enough, and ``Refused`` with a more exact text.
"""

import ipaddress
import re
import ssl
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Annotated, Literal, cast, get_args

from annotated_types import Ge, Le
from pydantic import AfterValidator, ValidationInfo

from components._egress import WAY, ways_out
from components._kubernetes.arguments import MOST_ROTATIONS
from components._kubernetes.grammars import (
    DATABASE,
    ENDPOINT,
    GATEWAY,
    HOST,
    LABEL,
    NAME,
    OUTSIDE_HOST,
    PORT,
    Refused,
    check_outside,
    database_uri,
    endpoint,
    gateway,
    host_name,
    network,
    object_name,
)
from components._kubernetes.pod_json import from_kubernetes
from components._kubernetes.pod_options import UNPRINTABLE, Unacceptable


class Privacy(Enum):
    """How much of a value may be shown, and whether the value must be encrypted."""

    PUBLIC = auto()
    """The value is shown in messages, unless the user has encrypted it."""
    SECRET = auto()
    """The value is refused in clear, and never shown."""
    SECRET_WITH_LOGIN = auto()
    """An address. With a user name in it, it is a ``SECRET``."""
    MISTAKABLE = auto()
    """The name of a secret. A refused value is not shown, because it may be the secret itself."""
    PARTLY_SECRET = auto()
    """An object that may have a secret in it. The value is never shown, and may be in clear."""


@dataclass(frozen=True)
class Kind:
    """The facts of a type of values, beside its Python type."""

    accepted: str
    """The accepted values, in words: "a region, such as eu-central-1"."""
    privacy: Privacy = Privacy.PUBLIC
    longest: int = 4096
    """Bytes of the value as text. An environment of a process has room for 128 KiB in all."""


@dataclass(frozen=True)
class Origin:
    """Where the values come from. pydantic passes an Origin to the conversion of each value."""

    project: str
    """Name of the Pulumi project, which is in front of each setting's name."""
    encrypted: Collection[str]
    """Names of the settings that the user has encrypted."""
    own_secrets: re.Pattern[str]
    """Matches the names of Secrets that the stack writes."""


LONGEST_FILE = 200_000
"""Bytes of a value that becomes a file or annotations; Kubernetes takes 256 KiB of annotations."""


# Names in Kubernetes and in DNS.


def matches(pattern: str) -> Callable[[str], str]:
    """Return a validator that accepts a text if the regular expression matches all of it."""
    compiled = re.compile(pattern)

    def validate(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(text)
        return text

    return validate


def _own_namespace(text: str) -> str:
    if text == "default" or text.startswith("kube-"):
        raise ValueError(text)
    return matches(LABEL)(text)


Namespace = Annotated[
    str,
    AfterValidator(_own_namespace),
    Kind(
        "a name of its own, of 1 to 63 small letters, digits and dashes, neither default nor "
        "kube-..., because it is removed with the stack"
    ),
]
ExistingNamespace = Annotated[
    str,
    AfterValidator(matches(LABEL)),
    Kind("a namespace's name, of 1 to 63 small letters, digits and dashes"),
]
Namespaces = Annotated[
    list[Annotated[str, AfterValidator(matches(LABEL))]],
    Kind('a list of namespaces\' names, such as ["training"]'),
]


def own_secrets(stores: Iterable[str]) -> re.Pattern[str]:
    """Return the pattern of the names of Secrets that the stack writes.

    tests/unit/test_variants.py compares the pattern with the Secrets that are rendered.

    Args:
        stores: first parts of the names of the artifact stores' Secrets.
    """
    others = ("mlflow", "backup", "postgres", "mysql", "external-database", "workspace", "ingress")
    first = "|".join(map(re.escape, (*others, *stores)))
    return re.compile(
        rf"({first})-(server|root|credentials|check|token|keys|egress|users|user-.*|certificate|tls"
        "|target|replication|rotation|members)(-files)?"
    )


def secret_name(text: str, own: re.Pattern[str]) -> str:
    """Return the name of a Secret that the user has made.

    Args:
        text: the name.
        own: matches the names of Secrets that the stack writes.

    Raises:
        ValueError: if Kubernetes does not accept the name.
        Refused: if the stack writes a Secret of that name.
    """
    if own.fullmatch(text):
        raise Refused("the name of a Secret of the namespace that this stack does not write")
    return object_name(text)


def _secret_name(text: str, info: ValidationInfo[Origin]) -> str:
    return secret_name(text, info.context.own_secrets)


SecretName = Annotated[
    str,
    AfterValidator(_secret_name),
    Kind("the name of a Secret: small letters, digits, dashes", Privacy.MISTAKABLE),
]
TlsSecretName = Annotated[
    str,
    AfterValidator(_secret_name),
    Kind("the name of a Secret: small letters, digits, dashes"),
]
ServiceAccountName = Annotated[
    str,
    AfterValidator(object_name),
    Kind("the name of a service account: small letters, digits, dashes"),
]
IssuerName = Annotated[
    str,
    AfterValidator(object_name),
    Kind("the name of a ClusterIssuer: small letters, digits, dashes"),
]
ClassName = Annotated[
    str,
    AfterValidator(object_name),
    Kind("the name of a class in the cluster, or nothing for the cluster's default"),
]


Gateway = Annotated[
    str,
    AfterValidator(gateway),
    Kind(GATEWAY),
]

SERVERS_OWN_PATHS = {
    *("ajax-api", "api", "build", "gateway", "get-artifact", "graphql", "health"),
    *("model-versions", "signup", "static-files", "v1", "version"),
}
"""First parts of the paths of MLflow's server. Pods use these paths without the path of the host.
An end-to-end test compares them with the routes of a running server."""


def _host_and_path(text: str) -> str:
    host, slash, path = text.partition("/")
    host_name(host)
    fit = re.fullmatch(r"[a-zA-Z0-9][-a-zA-Z0-9_.]*(/[a-zA-Z0-9][-a-zA-Z0-9_.]*)*", path)
    if slash and (not fit or len(path) > 100):
        raise Refused("a DNS name, and a path such as /mlflow without / at its end")
    if path.partition("/")[0] in SERVERS_OWN_PATHS:
        raise Refused("a DNS name, and a path that does not begin with one of MLflow's own")
    return text


HostName = Annotated[str, AfterValidator(host_name), Kind(HOST)]
HostAndPath = Annotated[
    str,
    AfterValidator(_host_and_path),
    Kind("a DNS name of small letters, and a path such as /mlflow if other programs share it"),
]


def _host_pattern(text: str) -> str:
    # A pattern that ends in a star would match every name, except one that begins an address.
    name = r"([-a-zA-Z0-9_*]+\.)*[-a-zA-Z0-9_]*[a-zA-Z0-9]"
    pattern = rf"({name}|([0-9]{{1,3}}\.){{1,3}}\*|\[[0-9a-fA-F:]+\])(:(\*|{PORT}))?"
    if re.fullmatch(pattern, text):
        return text
    # A network of prefix length 0 has every address in it.
    if "/" not in text or ipaddress.ip_network(text).prefixlen == 0:
        raise ValueError(text)
    return text


HostPatterns = Annotated[
    list[Annotated[str, AfterValidator(_host_pattern)]],
    Kind(
        'a list of host names, patterns or networks, such as ["mlflow.corp", "100.64.0.0/10"], '
        'but not "*"'
    ),
]


# Hosts and networks outside the stack.

Networks = Annotated[
    list[Annotated[str, AfterValidator(network)]],
    Kind('a list of networks without host bits, such as ["192.0.2.0/24"]'),
]


def _way_out(text: str) -> str:
    ways_out([text])
    return text


WaysOut = Annotated[
    list[Annotated[str, AfterValidator(_way_out)]],
    Kind(f"a list of ways out, each {WAY}"),
]

_PROXY = "http:// or https://, user:password@ if need be, a host, and a port"


def _proxy(text: str) -> str:
    login = r"[^:/?#\[\]@\s]+(:[^/?#\[\]@\s]*)?@"
    match = re.fullmatch(
        rf"https?://({login})?(?P<host>[-a-zA-Z0-9.]+|\[[0-9a-fA-F:.]+\]):{PORT}/?", text
    )
    if not match or not re.fullmatch("[!-~]+", text):
        raise ValueError(text)
    check_outside(match["host"], _PROXY)
    return text.rstrip("/")


Proxy = Annotated[str, AfterValidator(_proxy), Kind(_PROXY, Privacy.SECRET_WITH_LOGIN)]


def _host_without_proxy(text: str) -> str:
    if not OUTSIDE_HOST.fullmatch(text.removeprefix(".")):
        ipaddress.ip_address(text)
    return text


HostsWithoutProxy = Annotated[
    list[Annotated[str, AfterValidator(_host_without_proxy)]],
    Kind('a list of hosts, or of domains as ".example.com", without port or scheme'),
]


def _certificates(text: str) -> str:
    if "PRIVATE KEY" in text or not text.isascii():
        raise ValueError
    try:
        ssl.create_default_context(cadata=text)
    except ssl.SSLError:
        raise ValueError from None
    return text


Certificates = Annotated[
    str,
    AfterValidator(_certificates),
    Kind(
        "certificates as PEM, from -----BEGIN CERTIFICATE----- on, and no key",
        longest=LONGEST_FILE,
    ),
]


# Databases.


def _database_uri(text: str) -> str:
    return database_uri(text, with_port=True)


DatabaseUri = Annotated[str, AfterValidator(_database_uri), Kind(DATABASE, Privacy.SECRET)]


# S3.

S3Endpoint = Annotated[str, AfterValidator(endpoint), Kind(ENDPOINT)]
S3Bucket = Annotated[
    str,
    # S3 refuses a name that looks like an address.
    AfterValidator(matches(rf"(?=.{{3,63}}$)(?!([0-9]+\.){{3}}[0-9]+$){NAME}")),
    Kind("a bucket's name alone, of 3 to 63 small letters, digits, dashes and dots"),
]


def _prefix(text: str) -> str:
    parts = text.split("/")
    fit = all(re.fullmatch(r"[-a-zA-Z0-9_.!*'()]+", part) and part.strip(".") for part in parts)
    if not fit or len(text) > 512:
        raise ValueError(text)
    return text


S3Prefix = Annotated[
    str,
    AfterValidator(_prefix),
    Kind("a folder such as team/mlflow, without / at its ends, empty or dotted parts"),
]
S3Region = Annotated[
    str,
    AfterValidator(matches(r"(?=.{1,63}$)[a-z0-9]+(-[a-z0-9]+)*")),
    Kind("a region of small letters, digits and dashes, such as eu-central-1"),
]
_KEY = "3 to 128 letters, digits and signs without blanks"
S3AccessKeyId = Annotated[
    str, AfterValidator(matches(r"[!-~]{3,128}")), Kind(_KEY, Privacy.MISTAKABLE)
]
S3SecretAccessKey = Annotated[
    str, AfterValidator(matches(r"[!-~]{3,128}")), Kind(_KEY, Privacy.SECRET)
]


# Backups.

_LONG_ENOUGH = "16 to 128 letters, digits and signs without blanks"
BackupPassphrase = Annotated[
    str, AfterValidator(matches(r"[!-~]{16,128}")), Kind(_LONG_ENOUGH, Privacy.SECRET)
]


# Pods.


def _pods(options: dict[str, object], info: ValidationInfo[Origin]) -> dict[str, object]:
    """Return options of pods, in Kubernetes' own JSON.

    Raises:
        Refused: naming the first option that no pod of the stack can have.
    """
    try:
        pods = from_kubernetes(options)
    except Unacceptable as wrong:
        where = f"in {wrong.where}, " if wrong.where else ""
        raise Refused(f"{where}{wrong.accepted}") from None
    for kind, quantities in pods.get("resources", {}).items():
        if "memory" in cast("dict[str, str]", quantities):
            raise Refused(
                f"in resources.{kind}, no memory: serverMemory and workspaceMemory set it"
            )
    for secret in pods.get("image_pull_secrets", []):
        secret_name(str(secret.get("name")), info.context.own_secrets)
    return options


PodOptions = Annotated[
    dict[str, object],
    AfterValidator(_pods),
    Kind(
        'an object with fields of Kubernetes\' pods, such as {"priorityClassName": "high"}',
        Privacy.PARTLY_SECRET,
        longest=16_384,
    ),
]


# Images.

# A registry, a folder in it, then a tag or a digest or both: the grammar of the distribution
# project (github.com/distribution/reference), with registries in small letters.
_REGISTRY = rf"(({LABEL}(\.{LABEL})+|localhost)(:{PORT})?|{LABEL}:{PORT})"
_FOLDER = r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?P<name>({_REGISTRY}/)?{_FOLDER}(/{_FOLDER})*)"
    r"(?P<tag>:[a-zA-Z0-9_][-.a-zA-Z0-9_]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?"
)


def _image(text: str) -> str:
    match = _IMAGE.fullmatch(text)
    if (
        not match
        or len(match["name"]) > 128
        or not (match["tag"] or match["digest"])
        or match["tag"] == ":latest"
    ):
        raise ValueError(text)
    return text


def mirrored(image: str, registry: str | None) -> str:
    """Return the name of an image in ``registry``, unless the image names a registry itself."""
    host, slash, _ = image.partition("/")
    own = slash and ("." in host or ":" in host or host == "localhost")
    return image if own or not registry else f"{registry}/{image}"


def _as_pulled(image: str, info: ValidationInfo[Origin]) -> str:
    """Return the name under which the cluster pulls an image."""
    return mirrored(image, info.data.get("image_registry"))


Image = Annotated[
    str,
    AfterValidator(_image),
    AfterValidator(_as_pulled),
    Kind("an image with a tag other than latest, or a digest, such as postgres:18.6"),
]
ImageRegistry = Annotated[
    str,
    # Kubernetes takes a name of 255 characters: 128 are the image's own.
    AfterValidator(matches(rf"(?=.{{1,126}}$){_REGISTRY}(/{_FOLDER})*")),
    Kind("a registry and a folder in it, such as registry.example.com:5000/mirror"),
]


# Sizes and times.

_QUANTITY = re.compile(r"([1-9][0-9]{0,8})(Mi|Gi|Ti)")
_MEBIBYTES = {"Mi": 1, "Gi": 1024, "Ti": 1024 * 1024}


def mebibytes(text: str) -> int:
    """Return a size such as ``8Gi`` in MiB.

    Raises:
        ValueError: if the text is no whole number of Mi, Gi or Ti.
    """
    if not (match := _QUANTITY.fullmatch(text)):
        raise ValueError(text)
    return int(match[1]) * _MEBIBYTES[match[2]]


def _size(least: str, most: str) -> Callable[[str], str]:
    def validate(text: str) -> str:
        if not mebibytes(least) <= mebibytes(text) <= mebibytes(most):
            raise ValueError(text)
        return text

    return validate


def _size_kind(least: str, most: str) -> Kind:
    return Kind(f"a size from {least} to {most}, a whole number of Mi, Gi or Ti, such as 8Gi")


VolumeSize = Annotated[str, AfterValidator(_size("100Mi", "64Ti")), _size_kind("100Mi", "64Ti")]
ServerMemory = Annotated[str, AfterValidator(_size("256Mi", "64Gi")), _size_kind("256Mi", "64Gi")]
DatabaseMemory = Annotated[str, AfterValidator(_size("256Mi", "4Ti")), _size_kind("256Mi", "4Ti")]
WorkspaceMemory = Annotated[str, AfterValidator(_size("512Mi", "1Ti")), _size_kind("512Mi", "1Ti")]

_CRON_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
"""The least and the greatest number of minute, hour, day, month and day of the week."""


def _schedule(text: str) -> str:
    fields = text.split()
    if len(fields) != len(_CRON_LIMITS) or not all(map(_is_cron_field, fields, _CRON_LIMITS)):
        raise ValueError(text)
    return " ".join(fields)


def _is_cron_field(text: str, limits: tuple[int, int]) -> bool:
    """Return whether a field of a cron expression has numbers, ranges and steps in the limits."""
    low, high = limits
    for part in text.split(","):
        match = re.fullmatch(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([1-9][0-9]?))?", part)
        first, last, step = match.groups() if match else ("", "", "")
        begin, end = int(first or low), int(last or first or high)
        if not match or not low <= begin <= end <= high or int(step or 1) > high:
            return False
    return True


Schedule = Annotated[
    str,
    AfterValidator(_schedule),
    Kind("five fields of cron, such as 0 3 * * * (every day at 3:00 UTC), or nothing"),
]


def age(text: str) -> str:
    """Return an age such as ``1d12h``.

    Raises:
        ValueError: if the text is no age.
    """
    if not text:
        raise ValueError
    return matches(r"([0-9]{1,5}d)?([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?")(text)


Age = Annotated[
    str,
    AfterValidator(age),
    Kind("days, hours, minutes and seconds in this order, such as 30d or 1d12h"),
]


# Passwords and keys.

Rotated = Literal["database", "store", "storeRoot", "admin", "page", "kek", "webhook"]
ROTATED: tuple[Rotated, ...] = get_args(Rotated)
"""Names of what can be rotated."""
Rotation = Annotated[
    dict[Rotated, Annotated[int, Ge(0), Le(MOST_ROTATIONS)]],
    Kind(
        f'whole numbers from 0 to {MOST_ROTATIONS} by name, such as {{"database": 1}}; names: '
        f"{', '.join(ROTATED)}"
    ),
]


# Annotations of an Ingress.

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
"""Annotations with which no client reaches MLflow, by name without the controller's prefix: the
pattern of the refused values, and the reason. Source: the documentation of ingress-nginx, HAProxy
and NGINX."""


def _text(text: str) -> str:
    if UNPRINTABLE.search(text):
        raise ValueError(text)
    return text


Text = Annotated[str, AfterValidator(_text)]


def _annotation_name(text: str) -> str:
    if len(text.partition("/")[0]) > 253:
        raise ValueError(text)
    return matches(rf"({NAME}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")(text)


def _fit_annotations(annotations: dict[str, str]) -> dict[str, str]:
    # Annotations of pulumi.com tell the engine how to make an object; the program decides that.
    if any(re.match(r"([^/]+\.)?pulumi\.com/", key) for key in annotations):
        raise Refused("annotation names outside of pulumi.com/")
    for key, value in annotations.items():
        values, reason = _UNFIT_ANNOTATIONS.get(key.rpartition("/")[2], ("(?!)", ""))
        if re.fullmatch(values, value, re.DOTALL):
            raise Refused(f"annotations without {key}: {value!r:.100}, {reason}")
    return annotations


IngressAnnotations = Annotated[
    dict[Annotated[str, AfterValidator(_annotation_name)], Text],
    AfterValidator(_fit_annotations),
    Kind(
        'annotation names with texts as values, such as {"example.com/a": "true"}',
        longest=LONGEST_FILE,
    ),
]
