"""Who may reach whom, and at which port: all that is open, for each choice that a stack has.

components/test_network_policies.py (unit) compares the list with the rendered policies of every
variant, and test_network.py (end to end) with what packets do.
"""

import re
from collections.abc import Collection, Sequence

from tests.artifact_stores import TRIED

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
    **{name: paths for tried in TRIED.values() for name, paths in tried.paths.items()},
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
    name: paths for tried in TRIED.values() for name, paths in tried.direct_paths.items()
}
OTHERS = {
    name: other
    for text in DECLARED.values()
    for name, other in re.findall(r"([\w-]+) -> (other-[\w-]+)", text)
}
"""The second pod of those that reach each other, by the name of the first one."""


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
