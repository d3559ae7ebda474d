"""Who may reach whom, and at which port: all that is open, for each choice that a stack has.

components/test_network_policies.py (unit) compares the list with the rendered policies of every
variant, and test_network.py (end to end) with what packets do.
"""

import re
from collections.abc import Collection, Sequence

# Those of every program in the stack, of what is around it, and some that nobody listens on.
TCP = (
    *(22, 53, 80, 88, 443, 1234, 3128, 3306, 5000, 5432, 6443, 8000, 8008, 8020, 8080, 8443, 8888),
    *(9000, 9001, 9864, 9866, 9867, 9870, 10250),
)
UDP = (53, 88, 123)

DECLARED = {
    "always": """
        ingress, training -> mlflow: 5000
        mlflow, mlflow-migration, mlflow-gc, mlflow-restore, backup -> dns: 53 53/udp
        mlflow-migration -> API server, benchmark, home, outside: 443 6443 8443
        mlflow-migration -> carrier, docker, internet, internet6, proxy: 443 6443 8443
        mlflow-migration -> ingress, dns, training, stranger, pretender, models: 443 6443 8443
    """,
    "their namespace": "mlflow-migration -> neighbour: 443 6443 8443",
    "postgres": "mlflow, mlflow-migration, mlflow-gc, mlflow-restore, backup -> postgres: 5432",
    "mysql": "mlflow, mlflow-migration, mlflow-gc, mlflow-restore, backup -> mysql: 3306",
    "external": """
        mlflow, mlflow-migration, mlflow-gc, backup, external-database-check -> outside: 5432
        mlflow-restore -> outside: 5432
        external-database-check -> dns: 53 53/udp
    """,
    "external by Secret": """
        mlflow, mlflow-migration, mlflow-gc, backup, external-database-check -> outside: any
        mlflow-restore -> outside: any
        external-database-check -> dns: 53 53/udp
    """,
    "minio": """
        mlflow, mlflow-migration, mlflow-gc, mlflow-restore, backup, minio-bucket -> minio: 9000
        ingress -> minio: 9000 9001
        minio-bucket -> dns: 53 53/udp
    """,
    "hdfs": """
        mlflow, mlflow-migration, mlflow-gc, mlflow-restore, backup -> hdfs-namenode: 8020
        hdfs-folder, hdfs-datanode -> hdfs-namenode: 8020
        mlflow, mlflow-migration, mlflow-gc, mlflow-restore, backup -> hdfs-datanode: 9866
        hdfs-folder -> hdfs-datanode: 9866
        hdfs-datanode -> other-datanode: 9866 9867
        other-datanode -> hdfs-datanode: 9866 9867
        hdfs-namenode, hdfs-datanode, hdfs-folder -> dns: 53 53/udp
    """,
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
    "existing hdfs": """
        mlflow, mlflow-migration, mlflow-gc, mlflow-restore, backup -> outside: any 88/udp
        existing-hdfs-check -> outside: any 88/udp
        existing-hdfs-check -> dns: 53 53/udp
    """,
    "workspace": """
        ingress -> workspace: 8888
        workspace -> mlflow: 5000
        workspace -> dns: 53 53/udp
        workspace -> internet, internet6: 443
    """,
    "rotated": """
        mlflow-rotation, postgres-login -> postgres: 5432
        mlflow-rotation -> minio: 9000
        mlflow-rotation, postgres-login -> dns: 53 53/udp
    """,
    "rotated on MySQL": """
        mlflow-rotation -> mysql: 3306
        mlflow-rotation -> minio: 9000
        mlflow-rotation -> dns: 53 53/udp
    """,
    # Backups go to a bucket there.
    "another": """
        mlflow-migration, mlflow-restore, backup, backup-verify -> outside: 9001
        backup-verify -> dns: 53 53/udp
    """,
    "point in time": """
        postgres-replication, backup-wal -> postgres: 5432
        backup-wal -> outside: 9001
        postgres-replication, backup-wal -> dns: 53 53/udp
    """,
    "members": """
        postgres -> other-postgres: 5432 8008
        other-postgres -> postgres: 5432 8008
        minio -> other-minio: 9000
        other-minio -> minio: 9000
        minio -> dns: 53 53/udp
        postgres -> API server, benchmark, home, outside: 443 6443 8443
        postgres -> carrier, docker, internet, internet6, proxy: 443 6443 8443
        postgres -> ingress, dns, training, stranger, pretender, models: 443 6443 8443
    """,
    # Job runners ask language models.
    "jobs": "mlflow -> internet, internet6: 443",
    "ways out": """
        mlflow -> internet, internet6: 443
        mlflow -> models: 8000
        mlflow -> proxy: 3128
    """,
}
WITH_DIRECT_ACCESS = {
    "minio": "workspace, training -> minio: 9000",
    "hdfs": """
        workspace, training -> hdfs-namenode: 8020
        workspace, training -> hdfs-datanode: 9866
    """,
    "s3": "workspace -> outside: 9000",
    "s3 by Secret": "workspace -> outside: 443",
    "s3 by service account": "workspace -> outside: 443;  workspace -> agent: 80",
    "existing hdfs": "workspace -> outside: any 88/udp",
}


def declared(choices: Sequence[str], known: Collection[str]) -> set[str]:
    """Return the lines that a variant's choices amount to among the known ends, for each port."""
    texts = [DECLARED["always"], *(DECLARED.get(one, "") for one in choices)]
    if "direct" in choices:
        texts += [WITH_DIRECT_ACCESS.get(one, "") for one in choices]
    found = set()
    for line in re.split(r"[;\n]", "\n".join(texts)):
        if line.strip():
            ends, _, ports = line.strip().partition(": ")
            sources, targets = (side.split(", ") for side in ends.split(" -> "))
            found |= {
                f"{source} -> {target}: {port}"
                for source in sources
                for target in targets
                for port in ports.replace("any", " ".join(map(str, TCP))).split()
                if {source, target} <= {*known}
            }
    return found
