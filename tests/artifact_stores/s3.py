"""What is tried with ``mlflow:artifactStore s3``."""

from components import S3
from tests.artifact_stores._tried import Tried
from tests.rendered.strategies import HIDDEN, of
from tests.unit.recorder import CERTIFICATE

TRIED = Tried(
    variants={
        "s3": {
            "artifactStore": "s3",
            "s3Bucket": "mlflow",
            "s3Prefix": "team/a",
            "s3Endpoint": "https://s3.example:9000",
            "s3AccessKeyId": "key-id",
            "s3SecretAccessKey": "chosen-by-somebody",
            "s3Ca": CERTIFICATE,
        },
        "s3 by Secret": {"artifactStore": "s3", "s3Bucket": "mlflow", "s3Secret": "their-key"},
        "s3 by service account": {
            "artifactStore": "s3",
            "s3Bucket": "mlflow",
            "s3ServiceAccount": "mlflow",
        },
    },
    paths={
        "s3": """
        mlflow, mlflow-migration, mlflow-gc, mlflow-restore, backup, s3-check -> outside: 9000
        s3-check -> dns: 53 53/udp
    """,
        "s3 by Secret": """
        mlflow, mlflow-migration, mlflow-gc, mlflow-restore, backup, s3-check -> outside: 443
        s3-check -> dns: 53 53/udp
    """,
        "s3 by service account": """
        mlflow, mlflow-migration, mlflow-gc, mlflow-restore, backup, s3-check -> outside: 443
        mlflow, mlflow-migration, mlflow-gc, mlflow-restore, backup, s3-check -> agent: 80
        s3-check -> dns: 53 53/udp
    """,
    },
    direct_paths={
        "s3": "workspace -> outside: 9000",
        "s3 by Secret": "workspace -> outside: 443",
        "s3 by service account": "workspace -> outside: 443;  workspace -> agent: 80",
    },
    made=lambda here: S3("s3", {**here, "bucket": "bucket", "secret": "key"}),
    needed={"s3Bucket": "bucket", "s3Secret": "key"},
    right={
        "s3Endpoint": of("http://minio:9000", "https://s3.example", "https://[2001:db8::1]:65535"),
        "s3Bucket": of("mlflow", "a" * 63, "a.b-c", "123"),
        "s3Prefix": of("team/mlflow", "a" * 512, "a!*'()._-"),
        "s3Region": of("us-east-1", "garage"),
        "s3AccessKeyId": of("key", "!" * 128),
        "s3SecretAccessKey": of(HIDDEN, f"{HIDDEN}/+="),
        "s3Ca": of(CERTIFICATE, CERTIFICATE * 2),
    },
    wrong=[
        ("s3Endpoint", "minio.example:9000", "http:// or https://"),
        ("s3Endpoint", "https://s3.example/bucket", "without path or bucket"),
        ("s3Endpoint", "http://127.0.0.1:9000", "in a pod is the pod itself"),
        ("s3Bucket", "s3://mlflow", "a bucket's name alone"),
        ("s3Bucket", "My_Bucket", "a bucket's name alone"),
        ("s3Prefix", "/mlflow/", "without / at its ends"),
        ("s3Prefix", "a/../b", "dotted parts"),
        ("s3Region", "Frankfurt", "a region"),
        ("s3ServiceAccount", "arn:aws:iam::1:role/x", "the name of a service account"),
        ("s3Ca", "/etc/ssl/ca.pem", "certificates as PEM"),
        ("s3Endpoint", "https://s3.example:99999", "http:// or https://"),
        ("s3Endpoint", "https://s3.example:0", "http:// or https://"),
        ("s3Endpoint", "ftp://s3.example", "http:// or https://"),
        ("s3Endpoint", "https://", "http:// or https://"),
        ("s3Endpoint", "https://s3_a.example", "http:// or https://"),
        ("s3Endpoint", "https://s3.example?a=b", "http:// or https://"),
        ("s3Endpoint", "https://s3.\u00e9xample", "http:// or https://"),
        ("s3Endpoint", "http://LocalHost:9000", "in a pod is the pod itself"),
        ("s3Endpoint", "http://[::1]:9000", "in a pod is the pod itself"),
        ("s3Endpoint", "http://[::ffff:127.0.0.1]", "in a pod is the pod itself"),
        ("s3Endpoint", "http://0.0.0.0:9000", "in a pod is the pod itself"),
        ("s3Endpoint", "http://127.1:9000", "http:// or https://"),
        ("s3Endpoint", "http://[fe80::1%25eth0]", "http:// or https://"),
        ("s3Bucket", "ab", "a bucket's name alone"),
        ("s3Bucket", "a" * 64, "a bucket's name alone"),
        ("s3Bucket", "a..b", "a bucket's name alone"),
        ("s3Bucket", "192.0.2.7", "a bucket's name alone"),
        ("s3Bucket", "bucket/folder", "a bucket's name alone"),
        ("s3Prefix", "a//b", "without / at its ends"),
        ("s3Prefix", ".", "dotted parts"),
        ("s3Prefix", "team ml", "without / at its ends"),
        ("s3Prefix", "a%2Fb", "without / at its ends"),
        ("s3Prefix", "a?b=c", "without / at its ends"),
        ("s3Prefix", "a" * 513, "without / at its ends"),
        ("s3Region", "", "a region"),
        ("s3Region", "eu-central-1 ", "a region"),
        ("s3Region", "eu--central", "a region"),
        ("s3Ca", CERTIFICATE.replace("MIIB", "MIIC"), "certificates as PEM"),
        ("s3Ca", f"\u00e9{CERTIFICATE}", "certificates as PEM"),
        ("s3Ca", CERTIFICATE[:200], "certificates as PEM"),
        ("s3Ca", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", "certificates as PEM"),
        ("s3Ca", CERTIFICATE * 500, "200000 bytes at most"),
    ],
    wrong_and_hidden=[
        ("s3Secret", "s3/keys", "the name of a Secret"),
        ("s3Secret", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "the name of a Secret"),
        ("s3Secret", "s3-credentials", "that this stack does not write"),
        ("s3AccessKeyId", "a b c", "without blanks"),
        ("s3AccessKeyId", "AKIA\nwJalrXUtnFEMI", "without blanks"),
        ("s3AccessKeyId", "ab", "3 to 128 letters"),
        ("s3Endpoint", "https://key:hidden@s3.example", "http:// or https://"),
    ],
    contradictions=[
        (
            {
                "artifactStore": "s3",
                "s3Bucket": "b-1",
                "s3ServiceAccount": "theirs",
                "serverPods": {"serviceAccountAnnotations": {"a": "b"}},
            },
            "s3ServiceAccount: 'theirs'; accepted: nothing beside serviceAccountAnnotations",
        ),
        (
            {
                **{"artifactStore": "s3", "s3Bucket": "one", "s3Prefix": "ml"},
                **{"backupStore": "s3", "backupBucket": "one", "backupPrefix": "ml/backups"},
                "backupSecret": "theirs",
            },
            "backupPrefix: 'ml/backups'; accepted: a folder outside of the artifact store's, s3",
        ),
        ({"s3Bucket": "b-1"}, "s3Bucket: 'b-1'; accepted: only with artifactStore: s3"),
        (
            {"s3Endpoint": "https://s3.example"},
            "s3Endpoint: 'https://s3.example'; accepted: only with",
        ),
        ({"artifactStore": "s3"}, "s3Bucket: ''; accepted: with artifactStore: s3, the name of a"),
        (
            {"artifactStore": "s3", "s3Bucket": "b-1", "s3AccessKeyId": "key"},
            "s3SecretAccessKey: [secret]; accepted: the other half of s3AccessKeyId",
        ),
        (
            {"artifactStore": "s3", "s3Bucket": "b-1", "s3Secret": "s", "s3ServiceAccount": "a"},
            "s3ServiceAccount: 'a'; accepted: nothing beside s3Secret: one key is enough",
        ),
        (
            {"artifactStore": "s3", "s3Bucket": "b-1", "s3Ca": CERTIFICATE},
            "accepted: nothing, unless s3Endpoint is an https:// address",
        ),
    ],
    encrypted=("s3SecretAccessKey",),
)
