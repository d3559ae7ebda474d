"""The cluster's certificate authority, the certificates it signs, and the kubeconfigs."""

import base64
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from lab import paths
from lab.machines import FIRST, Machine
from lab.processes import run, write

PKI = paths.NODE_DIR / "pki"
_SERVER = f"https://{paths.NODE_ADDRESS}:6443"
_API_NAMES = (
    *("kubernetes", "kubernetes.default", "kubernetes.default.svc"),
    *("kubernetes.default.svc.cluster.local", "localhost"),
)
_API_ADDRESSES = [paths.NODE_ADDRESS, paths.API_ADDRESS, "127.0.0.1"]
# The names that Kubernetes' built-in roles are bound to (plugin/pkg/auth/authorizer/rbac).
_CLIENTS = {
    "admin": "/O=system:masters/CN=minikube",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "proxy": "/CN=system:kube-proxy",
}


def make(machines: Sequence[Machine]) -> None:
    """Make the certificates once, and the kubeconfigs from them."""
    if not PKI.exists():
        unfinished = PKI.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        _make_certificates(unfinished)
        unfinished.rename(PKI)
    for machine in machines:
        # The kubeconfig, which comes last, marks that the worker's certificates are complete.
        if machine != FIRST and not kubeconfig(kubelet(machine)).exists():
            _make_kubelets(PKI, machine)
    for name in (*_CLIENTS, *map(kubelet, machines)):
        _write_kubeconfig(kubeconfig(name), name)


def kubeconfig(client: str) -> Path:
    """Return the path of a client's kubeconfig. The user has the admin's kubeconfig."""
    return paths.KUBECONFIG if client == "admin" else PKI / f"{client}.kubeconfig"


def kubelet(machine: Machine) -> str:
    """Return the name under which a machine's kubelet is a client."""
    return f"kubelet{machine.suffix}"


def _make_certificates(folder: Path) -> None:
    _certificate(folder, "ca", "/CN=mlflow-lab", "basicConstraints=critical,CA:TRUE")
    for name, subject in _CLIENTS.items():
        _certificate(folder, name, subject, "extendedKeyUsage=clientAuth")
    dns = [f"DNS:{name}" for name in _API_NAMES]
    addresses = [f"IP:{address}" for address in _API_ADDRESSES]
    _server(folder, "apiserver", dns + addresses)
    _make_kubelets(folder, FIRST)
    key = folder / "service-accounts.key"
    run("openssl", "genpkey", "-algorithm", "RSA", "-out", key)
    run("openssl", "pkey", "-in", key, "-pubout", "-out", key.with_suffix(".pub"))


def _make_kubelets(folder: Path, machine: Machine) -> None:
    subject = f"/O=system:nodes/CN=system:node:{machine.node}"
    _certificate(folder, kubelet(machine), subject, "extendedKeyUsage=clientAuth")
    names = [f"DNS:{machine.node}", f"IP:{machine.address}"]
    _server(folder, f"kubelet-server{machine.suffix}", names)


def _server(folder: Path, name: str, names: list[str]) -> None:
    alternative = f"subjectAltName={','.join(names)}"
    _certificate(folder, name, f"/CN={name}", "extendedKeyUsage=serverAuth", alternative)


def _certificate(folder: Path, name: str, subject: str, *extensions: str) -> None:
    signer: list[str | Path]
    signer = [] if name == "ca" else ["-CA", folder / "ca.crt", "-CAkey", folder / "ca.key"]
    run(
        *("openssl", "req", "-x509", "-days", "3650", "-subj", subject, *signer),
        *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"),
        *("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"),
        *(word for extension in extensions for word in ("-addext", extension)),
    )


def _write_kubeconfig(path: Path, client: str) -> None:
    def data(file: str) -> str:
        return base64.b64encode((PKI / file).read_bytes()).decode()

    name = "minikube"
    cluster = {"server": _SERVER, "certificate-authority-data": data("ca.crt")}
    user = {
        "client-certificate-data": data(f"{client}.crt"),
        "client-key-data": data(f"{client}.key"),
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    write(path, json.dumps(content, indent=2))
