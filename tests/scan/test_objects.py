"""kube-score and checkov find nothing in any variant, except what exclusions.py names.

They read what is rendered; tests/e2e shows that it runs.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components._kubernetes.labels import PART_OF_THE_STACK
from components._kubernetes.network_policies import client_labels
from components.backend_stores._patroni import ROLE
from tests.scan.conftest import HERE
from tests.scan.exclusions import EXCLUSIONS
from tests.unit.recorder import pod_template
from tests.variants import VARIANTS, objects

EXCLUDED = frozenset[str]().union(*(one.checks for one in EXCLUSIONS))
Findings = set[tuple[str, str]]
"""Each a check and the object that it found wanting."""


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A file for each variant, with replicas: several pods are asked for more than one is."""
    folder = tmp_path_factory.mktemp("rendered")
    files = []
    for number, variant in enumerate(VARIANTS):
        # A server that runs jobs is a single pod, whatever a scanner asks for.
        several = {"replicas": 2, "jobExecution": False}
        changed = {} if "large" in variant.choices else several
        files.append(folder / f"{number}.yaml")
        manifests = objects(variant.render(**changed))
        others = [client(manifests), *primaries(manifests)]
        files[-1].write_text(yaml.safe_dump_all([*manifests, *others]))
    return files


def primaries(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the pods to which a Service leads once they have the label of the primary.

    The members of a database label themselves: a scanner of manifests sees no such pod.
    """
    servers = {one["metadata"]["name"]: one for one in manifests if one["kind"] == "StatefulSet"}
    found = []
    for service in (one for one in manifests if one["kind"] == "Service"):
        picked = service["spec"].get("selector", {})
        if ROLE in picked:
            template = servers[service["metadata"]["name"]]["spec"]["template"]
            labels = {**template["metadata"]["labels"], ROLE: picked[ROLE]}
            metadata = {"name": "primary", "namespace": "mlflow", "labels": labels}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
            found.append({**pod, "spec": template["spec"]})
    return found


def client(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a pod of somebody else's, for which there are policies: a client, or a solver."""
    (server,) = [
        one
        for one in manifests
        if (one["kind"], one["metadata"]["name"]) == ("Deployment", "mlflow")
    ]
    solver = {"acme.cert-manager.io/http01-solver": "true"}
    labels = {**PART_OF_THE_STACK, **client_labels("mlflow"), **solver}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "client", "namespace": "mlflow", "labels": labels},
        "spec": server["spec"]["template"]["spec"],
    }


@pytest.fixture(scope="module")
def by_kube_score(kube_score: Path, rendered: list[Path]) -> list[Findings]:
    return [run_kube_score(kube_score, file) for file in rendered]


@pytest.fixture(scope="module")
def by_checkov(scanners: Path, rendered: list[Path]) -> list[Findings]:
    return run_checkov(scanners, rendered)


def run_kube_score(program: Path, file: Path) -> Findings:
    # Annotations that switch a check off would be exclusions without a reason.
    options = [
        "--disable-ignore-checks-annotations",
        "--enable-optional-test=container-seccomp-profile",
        "--kubernetes-version=v1.34",
        "--output-format=json",
    ]
    answer = json.loads(run(str(program), "score", *options, str(file)))
    pods = [one for one in yaml.safe_load_all(file.read_text()) if pod_template(one)]
    seen = {(one["type_meta"]["kind"], one["object_meta"]["name"]) for one in answer}
    assert seen >= {(one["kind"], one["metadata"]["name"]) for one in pods}
    return {
        (check["check"]["id"], one["object_name"])
        for one in answer
        for check in one["checks"]
        if not check["skipped"] and check["grade"] < 10
    }


def run_checkov(programs: Path, files: list[Path]) -> list[Findings]:
    script = HERE / "inside" / "run_checkov.py"
    found: dict[str, Any] = json.loads(run(str(programs / "python"), str(script), *map(str, files)))
    for file, report in found.items():
        assert report["passed"] > 100, f"{file}: hardly anything was looked at"
        assert not report["unread"]
        # An annotation that switches a check off would be an exclusion without a reason.
        assert not report["skipped"]
    return [{(check, name) for check, name in found[str(file)]["failed"]} for file in files]


def run(*command: str) -> str:
    """Return what a scanner prints; it ends with 1 when it found something."""
    # `make test` runs this at low priority, beside tests that use all processors.
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def told(findings: list[Findings]) -> list[str]:
    """Return what was found beyond the exclusions, in the words of a report."""
    return [
        f"{variant}: {check}: {name}"
        for variant, found in zip(VARIANTS, findings, strict=True)
        for check, name in sorted(found)
        if check not in EXCLUDED
    ]


def test_kube_score_finds_nothing_else(by_kube_score: list[Findings]) -> None:
    assert not told(by_kube_score)


def test_checkov_finds_nothing_else(by_checkov: list[Findings]) -> None:
    assert not told(by_checkov)


def test_exclusions_are_few_and_each_is_still_needed(
    by_kube_score: list[Findings], by_checkov: list[Findings]
) -> None:
    assert len(EXCLUSIONS) <= 3
    found = {check for findings in (*by_kube_score, *by_checkov) for check, _ in findings}
    assert found >= EXCLUDED


def test_a_protection_taken_away_is_found(
    kube_score: Path, scanners: Path, rendered: list[Path], tmp_path: Path
) -> None:
    """The scanners see what they are here for: each line is one protection less."""
    bare = tmp_path / "bare.yaml"
    manifests = list(yaml.safe_load_all(rendered[0].read_text()))
    (server,) = [one for one in manifests if one["kind"] == "Deployment"]
    pod = server["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    del pod["securityContext"]["runAsNonRoot"]
    del pod["securityContext"]["runAsUser"]
    del pod["securityContext"]["seccompProfile"]
    del pod["affinity"]
    pod["automountServiceAccountToken"] = True
    del container["resources"]["limits"]
    del container["livenessProbe"]
    container["securityContext"] = {"privileged": True, "allowPrivilegeEscalation": True}
    kept = [one for one in manifests if one["kind"] != "PodDisruptionBudget"]
    bare.write_text(yaml.safe_dump_all(kept))
    assert {
        "container-seccomp-profile",
        "deployment-has-host-podantiaffinity",
        "deployment-has-poddisruptionbudget",
        "container-resources",
        "container-ephemeral-storage-request-and-limit",
        "container-security-context-privileged",
        "container-security-context-readonlyrootfilesystem",
    } <= {check for check, _ in run_kube_score(kube_score, bare)}
    (found,) = run_checkov(scanners, [bare])
    assert {
        "CKV_K8S_8",  # liveness
        "CKV_K8S_11",  # a limit of processors
        "CKV_K8S_13",  # a limit of memory
        "CKV_K8S_16",  # privileged
        "CKV_K8S_20",  # privilege escalation
        "CKV_K8S_22",  # read-only root
        "CKV_K8S_23",  # root
        "CKV_K8S_31",  # seccomp
        "CKV_K8S_37",  # capabilities
        "CKV_K8S_38",  # service-account token
    } <= {check for check, _ in found}
