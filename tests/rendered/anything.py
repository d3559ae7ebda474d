"""Random settings: valid, nearly valid and hostile values, several at once."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from settings.assembled import SETTINGS
from settings.values import ROTATED
from tests.artifact_stores import TRIED
from tests.rendered.strategies import HIDDEN, HOST, LABEL, NAME, TEXT, as_json, of
from tests.unit.recorder import CERTIFICATE
from tests.unit.recorder import settings as defaults
from tests.variants import AXES, VARIANTS

_SWITCH = st.sampled_from(["true", "false"])
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
_NAMES_AND_TEXTS = st.dictionaries(
    st.sampled_from(
        ["a", "example.com/a", "nginx.ingress.kubernetes.io/proxy-body-size", f"{'a.' * 126}a/B_.9"]
    ),
    TEXT | st.sampled_from(["true", "600", "", "\n", "\u00fc" * 50]),
    max_size=3,
)

# What is right for each setting, or may be.
_RIGHT: dict[str, SearchStrategy[str]] = {
    "namespace": LABEL,
    "trackingHost": HOST | of("ml.example/mlflow", "ml.example/a/b.c_d-e"),
    "workspaceHost": HOST,
    "allowedHosts": as_json(
        st.lists(HOST | of("*.corp", "10.*", "[::1]:*", "a:65535", "a_b.c"), max_size=3)
    ),
    "clientNamespaces": as_json(st.lists(LABEL, max_size=2)),
    "ingressNamespace": LABEL,
    "externalNetworks": as_json(
        st.lists(of("192.0.2.0/24", "10.0.0.0/255.0.0.0", "2001:db8::/32", "::/0"), max_size=2)
    ),
    "egress": as_json(
        st.lists(of("internet", "10.0.0.0/8:3128", "models", "192.0.2.7:443", "::/0"), max_size=2)
    ),
    "httpsProxy": of("http://proxy.example:3128", f"http://ml:{HIDDEN}@10.0.0.1:3128"),
    "httpProxy": of("https://[2001:db8::1]:65535"),
    "noProxy": as_json(st.lists(of(".corp", "10.0.0.1", "a.b", "2001:db8::1"), max_size=2)),
    "egressCa": of(CERTIFICATE),
    "databaseCa": of(CERTIFICATE, CERTIFICATE * 2),
    "replicas": of("1", "2", "20"),
    "workers": of("1", "2", "16"),
    "gcSchedule": of("", "0 3 * * *", "*/59 0-23/2 1,31 * 6", "59 23 31 12 0"),
    "gcOlderThan": of("30d", "0s", "1d2h3m4s", "99999d"),
    "databaseConnections": of("", "1", "24", "90", "100000"),
    "databaseMemory": of("", "256Mi", "1Gi", "4Ti"),
    "databaseCpus": of("1", "4", "128"),
    "databaseReplicas": of("1", "2", "3", "5"),
    "ingressWaitSeconds": of("0", "1", "600"),
    "rotation": as_json(st.dictionaries(of(*ROTATED), st.integers(0, 3))),
    "databaseUri": of(
        f"postgresql+psycopg2://ml:{HIDDEN}@db.example:5432/mlflow",
        f"mysql+pymysql://ml:{HIDDEN}@[2001:db8::1]:3306/ml?charset=utf8mb4",
    ),
    "authDatabaseUri": of(f"mysql+pymysql://ml:{HIDDEN}@db.example:3306/users"),
    "tls": of("none", "generated", "secret", "cert-manager", "gateway"),
    "tlsIssuer": NAME,
    "gateway": of("", "gateways/main", f"a/{'a.' * 126}a/https"),
    "backupSchedule": of("", "0 2 * * *", "*/59 0-23/2 1,31 * 6"),
    "backupVerifySchedule": of("", "0 5 * * 0", "59 23 31 12 0"),
    "backupRetention": of("30d", "0s", "1d2h3m4s"),
    "backupStore": of("volume", "s3", "artifacts"),
    "backupPointInTime": _SWITCH,
    "backupPassphrase": of(HIDDEN, f"{HIDDEN}/+=!~"),
    "backupEndpoint": of("http://minio:9000", "https://s3.example", "https://[2001:db8::1]:65535"),
    "backupBucket": of("backups", "a" * 63, "a.b-c"),
    "backupPrefix": of("team/mlflow", "a!*'()._-"),
    "backupRegion": of("us-east-1", "garage"),
    "backupAccessKeyId": of("key", "!" * 128),
    "backupSecretAccessKey": of(HIDDEN, f"{HIDDEN}/+="),
    "backupCa": of(CERTIFICATE),
    "databaseKind": of("postgres", "mysql"),
    "imageRegistry": of("registry.example", "localhost:5000/a/b", "a:65535"),
    "auditLog": _SWITCH,
    "protectData": _SWITCH,
    "pods": of(
        "{}",
        '{"tolerations": [{"key": "gpu", "operator": "Exists"}], "labels": {"a.b/c": ""}}',
        '{"env": [{"name": "A.b-c", "value": "$(HOME)"}], "runAsUser": 1000680000, "fsGroup": 0}',
        '{"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", '
        '"whenUnsatisfiable": "DoNotSchedule"}], "imagePullSecrets": [{"name": "login"}]}',
    ),
    "serverPods": of(
        "{}",
        '{"resources": {"limits": {"cpu": "100m", "nvidia.com/gpu": "1"}}}',
        '{"userFromPlatform": true, "runAsGroup": 0}',
        '{"serviceAccountAnnotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/a"}}',
    ),
    "storageClass": NAME,
    "ingressClass": NAME,
    "ingressAnnotations": as_json(_NAMES_AND_TEXTS),
    **{key: values for tried in TRIED.values() for key, values in tried.right.items()},
}


def _right(key: str) -> SearchStrategy[str]:
    if key in _RIGHT:
        return _RIGHT[key]
    for end, values in {
        "Image": _IMAGE,
        "Storage": _SIZE,
        "Memory": _SIZE,
        "Secret": NAME,
        "Account": NAME,
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
