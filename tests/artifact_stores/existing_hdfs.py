"""What is tried with ``mlflow:artifactStore existing-hdfs``."""

from hypothesis import strategies as st

from components import ExistingHdfs
from tests.artifact_stores._tried import Tried
from tests.rendered.strategies import NAME, TEXT, as_json, of

_URI = "hdfs://namenode.example:8020/mlflow"
_ADDRESS = of("192.0.2.7", "2001:db8::1", "255.255.255.255", "::", "10.0.0.1")
TRIED = Tried(
    variants={
        "existing hdfs": {
            "artifactStore": "existing-hdfs",
            "hdfsUri": "hdfs://prod/ml/flow",
            "hdfsConfiguration": {"dfs.nameservices": "prod", "dfs.ha.namenodes.prod": "a,b"},
            "hdfsHostAliases": {"192.0.2.7": ["dn1.corp"]},
            "hdfsKerberosSecret": "ticket",
        },
    },
    paths={
        "existing hdfs": """
        mlflow, mlflow-migration, mlflow-gc, mlflow-restore, backup -> outside: any 88/udp
        existing-hdfs-check -> outside: any 88/udp
        existing-hdfs-check -> dns: 53 53/udp
    """,
    },
    direct_paths={"existing hdfs": "workspace -> outside: any 88/udp"},
    made=lambda here: ExistingHdfs("existing-hdfs", {**here, "uri": _URI}),
    needed={"hdfsUri": _URI},
    right={
        "hdfsUri": of("hdfs://nn:8020/mlflow", "hdfs://10.0.0.1:8020/a/b=c", "viewfs://prod/ml"),
        "hdfsUser": of("mlflow", "_", "a" * 64),
        "hdfsConfiguration": as_json(st.dictionaries(of("dfs.nameservices", "a-b_c"), TEXT)),
        "hdfsHostAliases": as_json(
            st.dictionaries(_ADDRESS, st.lists(NAME, min_size=1, max_size=2))
        ),
    },
    wrong=[
        ("hdfsUri", "hdfs://nn:8020", "hdfs://<host>:<port>/<folder>"),
        ("hdfsUri", "nn:8020/mlflow", "hdfs://<host>:<port>/<folder>"),
        ("hdfsUser", "ml flow", "the name of an HDFS user"),
        ("hdfsConfiguration", {"a": 1}, "properties with texts"),
        ("hdfsHostAliases", {"dn1": ["192.0.2.7"]}, "lists of host names by address"),
        ("hdfsHostAliases", {"192.0.2.7": "dn1"}, "lists of host names by address"),
        ("hdfsUri", "http://nn:9870/mlflow", "hdfs://<host>:<port>/<folder>"),
        ("hdfsUri", "hdfs://nn:99999/mlflow", "hdfs://<host>:<port>/<folder>"),
        ("hdfsUri", "hdfs://nn:8020/a/../b", "hdfs://<host>:<port>/<folder>"),
        ("hdfsUri", "hdfs://nn:8020/my folder", "hdfs://<host>:<port>/<folder>"),
        ("hdfsUri", "hdfs://localhost:8020/mlflow", "in a pod is the pod itself"),
        ("hdfsUri", "hdfs:///mlflow", "hdfs://<host>:<port>/<folder>"),
        ("hdfsUser", "", "the name of an HDFS user"),
        ("hdfsUser", "ml/nn@CORP", "the name of an HDFS user"),
        ("hdfsUser", "m\u00fcller", "the name of an HDFS user"),
        ("hdfsUser", "a" * 65, "the name of an HDFS user"),
        ("hdfsConfiguration", "dfs.nameservices=prod", "properties with texts"),
        ("hdfsConfiguration", [], "properties with texts"),
        ("hdfsConfiguration", '{"a": "1", "a": "2"}', "properties with texts"),
        ("hdfsConfiguration", '{"a": "\\u0000"}', "properties with texts"),
        ("hdfsConfiguration", '{"a": "\\ud800"}', "properties with texts"),
        ("hdfsConfiguration", {"a b": "c"}, "properties with texts"),
        ("hdfsConfiguration", {"": "c"}, "properties with texts"),
        ("hdfsConfiguration", {"a": {"b": "c"}}, "properties with texts"),
        ("hdfsHostAliases", {"192.0.2.700": ["dn1"]}, "lists of host names by address"),
        ("hdfsHostAliases", {"192.0.2.07": ["dn1"]}, "lists of host names by address"),
        ("hdfsHostAliases", {"fe80::1%eth0": ["dn1"]}, "lists of host names by address"),
        ("hdfsHostAliases", {"192.0.2.7": []}, "lists of host names by address"),
        ("hdfsHostAliases", {"192.0.2.7": [1]}, "lists of host names by address"),
        ("hdfsHostAliases", {"192.0.2.7": ["DN1"]}, "lists of host names by address"),
        ("hdfsHostAliases", ["192.0.2.7 dn1"], "lists of host names by address"),
    ],
    wrong_and_hidden=[
        ("hdfsKerberosSecret", "My Secret", "the name of a Secret"),
        ("hdfsKerberosSecret", "existing-hdfs-check-files", "that this stack does not write"),
    ],
    contradictions=[
        (
            {
                **{"artifactStore": "existing-hdfs", "hdfsUri": "hdfs://nn:8020/a"},
                **{"hdfsKerberosSecret": "ticket", "backupSchedule": "0 2 * * *"},
            },
            "backupArtifacts: True; accepted: false with hdfsKerberosSecret",
        ),
        (
            {
                **{"artifactStore": "existing-hdfs", "hdfsUri": "hdfs://nn:8020/a"},
                **{"hdfsKerberosSecret": "ticket", "backupStore": "artifacts"},
            },
            "backupStore: 'artifacts'; accepted: volume or s3 with hdfsKerberosSecret",
        ),
        (
            {"hdfsUri": "hdfs://nn:8020/a"},
            "hdfsUri: 'hdfs://nn:8020/a'; accepted: only with artifact",
        ),
        ({"artifactStore": "existing-hdfs"}, "hdfsUri: ''; accepted: with artifactStore: existing"),
        (
            {"artifactStore": "existing-hdfs", "hdfsUri": "hdfs://nn/a"},
            "hdfsUri: 'hdfs://nn/a'; accepted: a host with its port, or a nameservice",
        ),
        (
            {"artifactStore": "minio", "hdfsHostAliases": {"192.0.2.7": ["dn1"]}},
            "hdfsHostAliases: {'192.0.2.7': ['dn1']}; accepted: only with artifactStore: existin",
        ),
    ],
)
