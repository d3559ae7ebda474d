"""What is tried with ``mlflow:artifactStore hdfs``."""

from components import Hdfs
from tests.artifact_stores._tried import Tried
from tests.rendered.strategies import of

_HDFS = {"artifactStore": "hdfs"}
TRIED = Tried(
    variants={"hdfs": {**_HDFS, "hdfsDataNodes": 3, "hdfsReplication": 2}},
    paths={
        "hdfs": """
        mlflow, mlflow-migration, mlflow-gc, mlflow-restore, backup -> hdfs-namenode: 8020
        hdfs-folder, hdfs-datanode -> hdfs-namenode: 8020
        mlflow, mlflow-migration, mlflow-gc, mlflow-restore, backup -> hdfs-datanode: 9866
        hdfs-folder -> hdfs-datanode: 9866
        hdfs-datanode -> other-datanode: 9866 9867
        other-datanode -> hdfs-datanode: 9866 9867
        hdfs-namenode, hdfs-datanode, hdfs-folder -> dns: 53 53/udp
    """,
    },
    direct_paths={
        "hdfs": """
        workspace, training -> hdfs-namenode: 8020
        workspace, training -> hdfs-datanode: 9866
    """,
    },
    made=lambda here: Hdfs("hdfs", here),
    right={"hdfsDataNodes": of("1", "3", "100"), "hdfsReplication": of("1", "2", "100")},
    wrong=[
        ("hdfsDataNodes", 0, "a whole number from 1 to 100"),
        ("hdfsReplication", "two", "a whole number from 1 to 100"),
        ("hdfsImage", "apache/hadoop", "an image with a tag"),
        ("hdfsReplication", 101, "a whole number from 1 to 100"),
        ("hdfsImage", "apache/-hadoop:3", "an image with a tag"),
    ],
    contradictions=[
        (
            {"hdfsReplication": 2},
            "hdfsReplication: 2; accepted: hdfsDataNodes, which is 1, or less",
        ),
    ],
    losses=[
        (
            {**_HDFS, "hdfsDataNodes": 3},
            {"hdfsDataNodes": 2},
            "hdfsDataNodes: 2; accepted: 3 or more: each may hold the only copy",
        ),
        *(
            (_HDFS, {"hdfsImage": image}, f"hdfsImage: '{image}'; accepted: {accepted}")
            for image, accepted in (
                ("apache/hadoop:3.3.6", "Hadoop 3.4 or a newer one of 3"),
                ("apache/hadoop:4.0.0", "Hadoop 3.4 or a newer one of 3"),
                (
                    f"registry.example/hadoop@sha256:{64 * 'a'}",
                    "a tag that begins with the version",
                ),
            )
        ),
    ],
    kept=[
        (_HDFS, {"hdfsImage": "apache/hadoop:3.4.1-lean"}),
        (_HDFS, {"hdfsImage": "apache/hadoop:3.5.0"}),
    ],
)
