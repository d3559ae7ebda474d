"""Findings of the scanners that stay, with the reason of each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Exclusion:
    """Findings of one cause, by the scanners' own names."""

    checks: frozenset[str]
    reason: str


EXCLUSIONS = [
    Exclusion(
        frozenset({"container-image-pull-policy", "CKV_K8S_15", "CKV_K8S_43"}),
        # No `Always`, no digest.
        "Images are built where they run (minikube image build, the lab): there is no registry to "
        "ask for them, and no digest before it. Where one has them, serverImage and the others "
        "take a digest.",
    ),
    Exclusion(
        frozenset({"container-security-context-user-group-id", "CKV_K8S_40"}),
        # No user id above 10,000.
        "User ids are the official images' own (postgres and mysql 999, apache/hadoop 1000): their "
        "files belong to them, initdb and Hadoop ask for an entry in /etc/passwd, and PostgreSQL "
        "refuses a volume that another user wrote.",
    ),
    Exclusion(
        frozenset({"CKV_K8S_35"}),
        # Secrets in the environment.
        "MLflow, boto3 and hdfs-native read addresses and keys from the environment; a file that a "
        "wrapper copies into it would be one more place to read them from.",
    ),
]

_LOADED = (
    "Whoever loads a model runs its code (pickle), and no release changes that. The server loads "
    "none; in the workspace it is for its user to load what they trust."
)
VULNERABILITIES = {
    # MLflow, by the kind of model (in order: two of scikit-learn, pyfunc, pmdarima, LightGBM,
    # TensorFlow, PyTorch, a recipe).
    **dict.fromkeys((f"CVE-2024-{number}" for number in range(37052, 37058)), _LOADED),
    "CVE-2024-37059": _LOADED,
    "CVE-2024-37060": _LOADED,
    # The advisory (GHSA-q49c-6v6g-wgq3) names every release from 0.6 on.
    "CVE-2024-37065": "skops trusts no file as a whole since 0.10: who loads one lists its types.",
}
"""Why a known vulnerability of a package is none of ours, by its CVE or another name of it."""
