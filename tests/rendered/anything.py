"""Random settings: valid, nearly valid and hostile values, several at once."""

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from settings.assembled import SETTINGS
from settings.values import ROTATED
from tests.unit.recorder import CERTIFICATE
from tests.unit.recorder import settings as defaults
from tests.variants import AXES, VARIANTS

HIDDEN = "n0t-to-be-sh0wn"
"""Part of every value that is a secret."""

_LABEL = st.sampled_from(["a", "mlflow", "7", "ml-7", "a" * 63]) | st.from_regex(
    r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True
)
_SWITCH = st.sampled_from(["true", "false"])
_HOST = st.builds(
    lambda parts, last: ".".join([*parts, last]),
    st.lists(_LABEL, min_size=1, max_size=3),
    st.sampled_from(["local", "example.com", "xn--p1ai", "a" * 60]),
)
_SIZE = st.builds(
    lambda number, unit: f"{number}{unit}",
    st.sampled_from([1, 2, 5, 64, 100, 512, 1024, 65536]) | st.integers(1, 5000),
    st.sampled_from(["Mi", "Gi", "Gi", "Ti"]),
)
_IMAGE = st.sampled_from(
    [
        "postgres:18.6",
        "quay.io/minio/minio:RELEASE.2026",
        "localhost:5000/a/b_c/d--e:1",
        f"mysql@sha256:{'a' * 64}",
        f"a:{'1' * 128}",
        f"{'a' * 128}:1@sha256:{'0' * 64}",
    ]
)
_NAME = st.lists(_LABEL, min_size=1, max_size=3).map(".".join) | st.just("a." * 126 + "a")
_TEXT = st.text(max_size=20)
_NAMES_AND_TEXTS = st.dictionaries(
    st.sampled_from(
        ["a", "example.com/a", "nginx.ingress.kubernetes.io/proxy-body-size", f"{'a.' * 126}a/B_.9"]
    ),
    _TEXT | st.sampled_from(["true", "600", "", "\n", "\u00fc" * 50]),
    max_size=3,
)
_ADDRESS = st.sampled_from(["192.0.2.7", "2001:db8::1", "255.255.255.255", "::", "10.0.0.1"])


def _of(*values: str) -> SearchStrategy[str]:
    return st.sampled_from(values)


def _json(values: SearchStrategy[Any]) -> SearchStrategy[str]:
    return values.map(json.dumps)


# What is right for each setting, or may be.
_RIGHT: dict[str, SearchStrategy[str]] = {
    "namespace": _LABEL,
    "trackingHost": _HOST | _of("ml.example/mlflow", "ml.example/a/b.c_d-e"),
    "artifactHost": _HOST,
    "artifactConsoleHost": _HOST,
    "workspaceHost": _HOST,
    "allowedHosts": _json(
        st.lists(_HOST | _of("*.corp", "10.*", "[::1]:*", "a:65535", "a_b.c"), max_size=3)
    ),
    "clientNamespaces": _json(st.lists(_LABEL, max_size=2)),
    "ingressNamespace": _LABEL,
    "externalNetworks": _json(
        st.lists(_of("192.0.2.0/24", "10.0.0.0/255.0.0.0", "2001:db8::/32", "::/0"), max_size=2)
    ),
    "egress": _json(
        st.lists(_of("internet", "10.0.0.0/8:3128", "models", "192.0.2.7:443", "::/0"), max_size=2)
    ),
    "httpsProxy": _of("http://proxy.example:3128", f"http://ml:{HIDDEN}@10.0.0.1:3128"),
    "httpProxy": _of("https://[2001:db8::1]:65535"),
    "noProxy": _json(st.lists(_of(".corp", "10.0.0.1", "a.b", "2001:db8::1"), max_size=2)),
    "egressCa": _of(CERTIFICATE),
    "databaseCa": _of(CERTIFICATE, CERTIFICATE * 2),
    "replicas": _of("1", "2", "20"),
    "workers": _of("1", "2", "16"),
    "gcSchedule": _of("", "0 3 * * *", "*/59 0-23/2 1,31 * 6", "59 23 31 12 0"),
    "gcOlderThan": _of("30d", "0s", "1d2h3m4s", "99999d"),
    "databaseConnections": _of("", "1", "24", "90", "100000"),
    "databaseMemory": _of("", "256Mi", "1Gi", "4Ti"),
    "databaseCpus": _of("1", "4", "128"),
    "artifactReplicas": _of("1", "3", "4", "16"),
    "databaseReplicas": _of("1", "2", "3", "5"),
    "hdfsDataNodes": _of("1", "3", "100"),
    "hdfsReplication": _of("1", "2", "100"),
    "ingressWaitSeconds": _of("0", "1", "600"),
    "hdfsUri": _of("hdfs://nn:8020/mlflow", "hdfs://10.0.0.1:8020/a/b=c", "viewfs://prod/ml"),
    "hdfsUser": _of("mlflow", "_", "a" * 64),
    "hdfsConfiguration": _json(st.dictionaries(_of("dfs.nameservices", "a-b_c"), _TEXT)),
    "rotation": _json(st.dictionaries(_of(*ROTATED), st.integers(0, 3))),
    "hdfsHostAliases": _json(st.dictionaries(_ADDRESS, st.lists(_NAME, min_size=1, max_size=2))),
    "databaseUri": _of(
        f"postgresql+psycopg2://ml:{HIDDEN}@db.example:5432/mlflow",
        f"mysql+pymysql://ml:{HIDDEN}@[2001:db8::1]:3306/ml?charset=utf8mb4",
    ),
    "authDatabaseUri": _of(f"mysql+pymysql://ml:{HIDDEN}@db.example:3306/users"),
    "tls": _of("none", "generated", "secret", "cert-manager", "gateway"),
    "tlsIssuer": _NAME,
    "gateway": _of("", "gateways/main", f"a/{'a.' * 126}a/https"),
    "s3Endpoint": _of("http://minio:9000", "https://s3.example", "https://[2001:db8::1]:65535"),
    "s3Bucket": _of("mlflow", "a" * 63, "a.b-c", "123"),
    "s3Prefix": _of("team/mlflow", "a" * 512, "a!*'()._-"),
    "s3Region": _of("us-east-1", "garage"),
    "s3AccessKeyId": _of("key", "!" * 128),
    "s3SecretAccessKey": _of(HIDDEN, f"{HIDDEN}/+="),
    "s3Ca": _of(CERTIFICATE, CERTIFICATE * 2),
    "backupSchedule": _of("", "0 2 * * *", "*/59 0-23/2 1,31 * 6"),
    "backupVerifySchedule": _of("", "0 5 * * 0", "59 23 31 12 0"),
    "backupRetention": _of("30d", "0s", "1d2h3m4s"),
    "backupStore": _of("volume", "s3", "artifacts"),
    "backupPointInTime": _SWITCH,
    "backupPassphrase": _of(HIDDEN, f"{HIDDEN}/+=!~"),
    "backupEndpoint": _of("http://minio:9000", "https://s3.example", "https://[2001:db8::1]:65535"),
    "backupBucket": _of("backups", "a" * 63, "a.b-c"),
    "backupPrefix": _of("team/mlflow", "a!*'()._-"),
    "backupRegion": _of("us-east-1", "garage"),
    "backupAccessKeyId": _of("key", "!" * 128),
    "backupSecretAccessKey": _of(HIDDEN, f"{HIDDEN}/+="),
    "backupCa": _of(CERTIFICATE),
    "databaseKind": _of("postgres", "mysql"),
    "imageRegistry": _of("registry.example", "localhost:5000/a/b", "a:65535"),
    "auditLog": _SWITCH,
    "protectData": _SWITCH,
    "pods": _of(
        "{}",
        '{"tolerations": [{"key": "gpu", "operator": "Exists"}], "labels": {"a.b/c": ""}}',
        '{"env": [{"name": "A.b-c", "value": "$(HOME)"}], "runAsUser": 1000680000, "fsGroup": 0}',
        '{"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", '
        '"whenUnsatisfiable": "DoNotSchedule"}], "imagePullSecrets": [{"name": "login"}]}',
    ),
    "serverPods": _of(
        "{}",
        '{"resources": {"limits": {"cpu": "100m", "nvidia.com/gpu": "1"}}}',
        '{"userFromPlatform": true, "runAsGroup": 0}',
        '{"serviceAccountAnnotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/a"}}',
    ),
    "storageClass": _NAME,
    "ingressClass": _NAME,
    "ingressAnnotations": _json(_NAMES_AND_TEXTS),
}


def _right(key: str) -> SearchStrategy[str]:
    if key in _RIGHT:
        return _RIGHT[key]
    for end, values in {
        "Image": _IMAGE,
        "Storage": _SIZE,
        "Memory": _SIZE,
        "Secret": _NAME,
        "Account": _NAME,
    }.items():
        if key.endswith(end):
            return values
    # What is left is a choice, and every choice is the default or in some variant.
    chosen = [choice.get(key) for axis in AXES.values() for choice in axis.values()]
    known = {str(one).lower() for one in chosen if one is not None} | {defaults()[f"mlflow:{key}"]}
    assert len(known) > 1, f"{key} is a new kind of setting: say here what is right for it"
    return st.sampled_from(sorted(known))


_PIECES = [
    *(
        "",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\0",
        "\x7f",
        "\u00a0",
        "\u2028",
        "\u200b",
        "\ufeff",
        "\U0001f600",
    ),
    *(
        ",",
        ";",
        ":",
        "/",
        "//",
        "..",
        "-",
        "_",
        "@",
        "#",
        "?",
        "%",
        "%00",
        "*",
        "'",
        '"',
        "\\",
        "$(",
    ),
    *("\u0662", "A", "z" * 64, "9" * 30, "[", "{}", "<a>", "&amp;", "\\ud800", "null", "=", "!"),
]
_HOSTILE = st.sampled_from(
    [
        *(
            "",
            " ",
            "null",
            "None",
            "~",
            "yes",
            "[]",
            "{}",
            "[1]",
            '{"a":1}',
            '"',
            "\0",
            "\n",
            "-",
            ".",
        ),
        *("0", "-1", "1.5", "1e3", "NaN", "0x10", "9" * 400, "8G", "8gi", "1.5Gi", "Gi", "10"),
        *("localhost", "127.0.0.1", "::1", "http://a", "a.b:99999", "../../etc/passwd", "$(id)"),
        *("a" * 64, "a" * 254, "a" * 5000, "[" * 3000, '["*"]', '{"a":"\\ud800"}', "<!--", "a,b"),
        *("postgres", "postgres:latest", "kube-system", "s3://b/p", "hdfs://nn", "s3-credentials"),
        f"mysql+pymysql://ml:{HIDDEN}@localhost:1/ml",
        f"https://user:{HIDDEN}@s3.example",
        f"-----BEGIN PRIVATE KEY-----\n{HIDDEN}\n-----END PRIVATE KEY-----",
    ]
) | st.text(max_size=40)


@st.composite
def _nearly(draw: st.DrawFn, right: SearchStrategy[str]) -> str:
    """Return a right value with one thing put in, or taken out."""
    value = draw(right)
    at = draw(st.integers(0, len(value)))
    taken = draw(st.sampled_from([0, 0, 1, 3]))
    return value[:at] + draw(st.sampled_from(_PIECES)) + value[at + taken :]


_VALUES = {key: [_right(key), _nearly(_right(key)), _HOSTILE] for key in SETTINGS}
_KEYS = sorted(SETTINGS)


@st.composite
def settings(draw: st.DrawFn) -> dict[str, Any]:
    """Return what is changed in a stack's settings: a variant, and some settings on top of it."""
    changed: dict[str, Any] = {**draw(st.sampled_from(VARIANTS)).settings}
    for key in draw(st.lists(st.sampled_from(_KEYS), min_size=1, max_size=5, unique=True)):
        # Most of them right, or hardly any example would be as a whole.
        kind = draw(st.sampled_from([0] * 14 + [1, 1, 2]))
        changed[key] = draw(_VALUES[key][kind])
    return changed
