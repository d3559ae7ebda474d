"""What is tried with ``mlflow:artifactStore minio``."""

from components import Minio
from tests.artifact_stores._tried import Tried
from tests.rendered.strategies import HOST, of

TRIED = Tried(
    variants={"minio": {}},
    paths={
        "minio": """
            mlflow, mlflow-migration, mlflow-gc, mlflow-restore, backup, minio-bucket -> minio: 9000
            ingress -> minio: 9000 9001
            minio-bucket -> dns: 53 53/udp
        """
    },
    direct_paths={"minio": "workspace, training -> minio: 9000"},
    # Pulumi.yaml is for minikube, whose class has this name; components use the cluster's default.
    made=lambda here: Minio("minio", {**here, "ingress": {"class_name": "nginx"}}),
    right={
        "artifactHost": HOST,
        "artifactConsoleHost": HOST,
        "artifactReplicas": of("1", "3", "4", "16"),
    },
    wrong=[
        ("artifactHost", "-minio.local", "a DNS name"),
        ("artifactConsoleHost", "minio_console.local", "a DNS name"),
        ("minioImage", "Minio/Minio:1", "an image with a tag"),
        ("artifactReplicas", 17, "a whole number from 1 to 16"),
        ("artifactHost", "minio.local/", "a DNS name"),
        ("artifactConsoleHost", "user@minio.local", "a DNS name"),
        ("minioImage", "minio minio:1", "an image with a tag"),
    ],
    contradictions=[
        (
            {"artifactReplicas": 4, "artifactStore": "hdfs"},
            "artifactReplicas: 4; accepted: 1, unless artifactStore is minio",
        ),
        ({"artifactReplicas": 3}, "artifactReplicas: 3; accepted: 1, or 4 to 16"),
        ({"artifactHost": "mlflow-server.local"}, "artifactHost: 'mlflow-server.local'; accepted"),
    ],
    losses=[
        *(
            (
                {"artifactReplicas": there},
                {"artifactReplicas": number},
                f"artifactReplicas: {number}; accepted: {there}: MinIO reads the volumes",
            )
            for there, number in ((1, 4), (4, 1), (4, 8))
        ),
        *(
            ({}, {"minioImage": image}, f"minioImage: '{image}'; accepted: {accepted}")
            for image, accepted in (
                ("minio/minio:RELEASE.2025-09-07T16-13-09Z", "a release of 2026.2.12 or newer"),
                ("bitnami/minio:2025.7.23-debian-12-r3", "a release of 2026.2.12 or newer"),
                ("rustfs/rustfs:20270101", "an image called minio or silo"),
                ("pgsty/silo:RELEASE.2026-01-16T00-00-00Z", "a release of 2026.2.12 or newer"),
                (f"minio/minio@sha256:{64 * 'a'}", "a tag that begins with the version"),
            )
        ),
        (
            {"minioImage": "registry.example/other:2.0.0"},
            {"minioImage": "minio/minio:RELEASE.2026-12-01T16-13-09Z"},
            "minioImage: 'minio/minio:RELEASE.2026-12-01T16-13-09Z'; accepted: an image called o",
        ),
    ],
    kept=[
        ({}, {"minioImage": "minio/minio:RELEASE.2026-12-01T16-13-09Z"}),
        ({}, {"minioImage": "pgsty/silo:RELEASE.2026-09-16T00-00-00Z"}),
        (
            {"minioImage": "registry.example/other:2.0.0"},
            {"minioImage": "registry.example/other:2.1.0"},
        ),
    ],
    with_all_inputs={"artifactReplicas": 4},
)
