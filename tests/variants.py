"""The variants of the stack that are rendered, and then validated, scanned and compared."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any

from settings.values import ROTATED
from tests.artifact_stores import TRIED
from tests.unit.recorder import CERTIFICATE, Recorded, run_stack

# Each choice's settings; the first of each axis is the default.
AXES: dict[str, dict[str, dict[str, Any]]] = {
    "backend store": {
        "postgres": {},
        "mysql": {
            "backendStore": "mysql",
            "databaseMemory": "4Gi",
            "databaseCpus": 8,
            "databaseConnections": 300,
        },
        "external": {
            "backendStore": "external",
            "databaseUri": "postgresql+psycopg2://ml:chosen-by-a-person@db.example:5432/mlflow",
            "databaseCa": CERTIFICATE,
            "authDatabaseUri": "postgresql+psycopg2://ml:chosen-by-a-person@db.example:5432/users",
            "databaseConnections": 200,
        },
        "external by Secret": {
            "backendStore": "external",
            "databaseSecret": "their-database",
            "databaseConnections": 200,
        },
    },
    "artifact store": {
        name: settings for tried in TRIED.values() for name, settings in tried.variants.items()
    },
    "login": {"login": {}, "no login": {"auth": "none", "authDatabaseUri": ""}},
    "artifact access": {"proxied": {}, "direct": {"artifactAccess": "direct"}},
    "workspace": {"no workspace": {}, "workspace": {"clientWorkspace": True}},
    "namespace": {"own namespace": {}, "their namespace": {"createNamespace": False}},
    "certificate": {
        "plain HTTP": {},
        "generated certificate": {"tls": "generated"},
        "cert-manager": {"tls": "cert-manager", "tlsIssuer": "letsencrypt"},
    },
    "size": {
        "small": {},
        "large": {
            "replicas": 3,
            "autoscaled": True,
            "workers": 4,
            "serverMemory": "4Gi",
        },
        "jobs": {"jobExecution": True, "serverMemory": "4Gi"},
    },
    "calls out": {
        "none": {},
        "ways out": {
            "egress": ["internet", "10.8.0.1:3128", "models:8000"],
            "httpsProxy": "http://ml:chosen-by-a-person@10.8.0.1:3128",
            "noProxy": [".corp.example"],
            "egressCa": CERTIFICATE,
        },
    },
    "pods": {
        "plain": {},
        "of a platform": {
            "pods": {
                "imagePullSecrets": [{"name": "registry-login"}],
                "nodeSelector": {"kubernetes.io/arch": "amd64"},
                "tolerations": [
                    {"key": "mlflow", "operator": "Exists", "effect": "NoSchedule"},
                    {"key": "spot", "operator": "Equal", "value": "true", "effect": "NoExecute"},
                ],
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {
                                    "matchExpressions": [
                                        {"key": "pool", "operator": "In", "values": ["data"]}
                                    ]
                                }
                            ]
                        }
                    }
                },
                "topologySpreadConstraints": [
                    {
                        "maxSkew": 1,
                        "topologyKey": "topology.kubernetes.io/zone",
                        "whenUnsatisfiable": "ScheduleAnyway",
                    }
                ],
                "priorityClassName": "high",
                "labels": {"example.com/team": "ml"},
                "annotations": {"sidecar.istio.io/inject": "false"},
                "env": [
                    {"name": "TZ", "value": "Europe/Berlin"},
                    {
                        "name": "PLATFORM_TOKEN",
                        "valueFrom": {"secretKeyRef": {"name": "theirs", "key": "token"}},
                    },
                ],
                "runAsUser": 1000680000,
            },
            "serverPods": {
                "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "3"}},
                "priorityClassName": "higher",
            },
        },
    },
    "cluster": {
        "minikube": {},
        "another": {
            "storageClass": "fast",
            "ingressClass": "",
            "ingressWaitSeconds": 0,
            "ingressAnnotations": {"example.com/a": "b"},
            "auditLog": False,
            "imageRegistry": "registry.example:5000/mirror",
            "protectData": True,
            "backupSchedule": "0 2 * * *",
            "backupArtifacts": False,
            "backupStore": "s3",
            "backupBucket": "backups",
            "backupPrefix": "team/a",
            "backupEndpoint": "https://backup.example:9001",
            "backupAccessKeyId": "key-id",
            "backupSecretAccessKey": "chosen-by-somebody",
            "backupCa": CERTIFICATE,
        },
    },
}
ENCRYPTED = (
    *("databaseUri", "authDatabaseUri", "httpsProxy", "backupSecretAccessKey"),
    *(key for tried in TRIED.values() for key in tried.encrypted),
)


@dataclass(frozen=True)
class Variant:
    """One choice of each axis."""

    choices: tuple[str, ...]
    settings: dict[str, Any] = field(hash=False)

    def __str__(self) -> str:
        defaults = {next(iter(choices)) for choices in AXES.values()}
        return ", ".join(one for one in self.choices if one not in defaults) or "default"

    def render(self, **changed: object) -> Recorded:
        """Return all that the program asks for, with some more settings changed."""
        settings: dict[str, Any] = {**self.settings, **changed}
        return run_stack(*(key for key in ENCRYPTED if key in settings), **settings)


def _pairs(choices: tuple[str, ...]) -> set[tuple[str, str]]:
    return set(combinations(choices, 2))


def _covering() -> Iterator[Variant]:
    """Yield variants until every two choices of two axes were together in one of them.

    All combinations are some hundreds, and say nothing more: no part asks for three of them.
    """
    every = list(product(*AXES.values()))
    missing = set[tuple[str, str]]().union(*map(_pairs, every))
    while missing:
        choices = max(every, key=lambda one: len(_pairs(one) & missing))
        missing -= _pairs(choices)
        settings: dict[str, Any] = {}
        for axis, choice in zip(AXES.values(), choices, strict=True):
            settings |= axis[choice]
        yield Variant(choices, settings)


POINT_IN_TIME = Variant(
    (
        *(next(iter(choices)) for choices in AXES.values() if "another" not in choices),
        *("another", "point in time"),
    ),
    {**AXES["cluster"]["another"], "backupPointInTime": True},
)
"""The archive of the write-ahead log, which only one of the databases has, and not every target."""
ROTATION = Variant(
    (*(next(iter(choices)) for choices in AXES.values()), "rotated"),
    {"rotation": dict.fromkeys(ROTATED, 1)},
)
"""Everything that can be rotated, which not every database and store has."""
ROTATION_ON_MYSQL = Variant(
    ("mysql", *ROTATION.choices[1:-1], "rotated on MySQL"),
    {**AXES["backend store"]["mysql"], "rotation": {"database": 1}},
)
"""The rotation of the other database that the stack may have of its own."""
MEMBERS = Variant(
    (*(next(iter(choices)) for choices in AXES.values()), "members"),
    {"databaseReplicas": 3, "artifactReplicas": 4},
)
"""Several members of a database and several servers of a store, which one of each kind has."""
VARIANTS = [*_covering(), POINT_IN_TIME, ROTATION, ROTATION_ON_MYSQL, MEMBERS]
"""The default, what it takes for every two choices to occur together, the WAL archive, rotations,
several members of the database and several servers of the store."""


def objects(recorded: Recorded) -> list[dict[str, Any]]:
    """Return what was asked for as manifests, as Kubernetes would get them."""
    # What is only read (a namespace of somebody else's) has no inputs.
    return [plain(inputs) for inputs in recorded.kubernetes().values() if inputs]


def plain(value: Any) -> Any:
    """Return a value as it was before it went over the wire: whole numbers, no mark of secrets."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    if _SECRET in value:
        return plain(value["value"])
    return {key: plain(one) for key, one in value.items()}


# How the SDK marks a secret on the wire (sdk/python/lib/pulumi/runtime/rpc.py).
_SECRET = "4dabf18193072939515e22adb298388d"  # noqa: S105 (the mark itself)
