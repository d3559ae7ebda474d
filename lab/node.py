"""The node: a single-machine Kubernetes, started, healed and ended as a whole."""

import hashlib
import io
import json
import os
import platform
import shutil
import sys
import tarfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from string import Template

from lab import (
    credentials,
    dns,
    ingress,
    namespaces,
    packages,
    paths,
    policies,
    processes,
    storage,
    tools,
)
from lab.credentials import PKI
from lab.locks import held
from lab.processes import run, write
from lab.progress import LabError, step
from lab.tools import program

_PACKAGES = (
    *("containerd", "runc", "containernetworking-plugins", "iptables", "conntrack", "socat"),
    *("iproute2", "util-linux", "mount", "openssl", "catatonit"),
    "busybox-static",
)
# Named after the network, because labs with different homes may want the same network.
_LOCK = Path(f"/run/{paths.NETNS}.lock")
_NODE_IMAGE = "localhost/mlflow-lab/node:1"
_CONTAINERD_CONFIG = paths.NODE_DIR / "containerd.toml"
_NETWORK = paths.NODE_DIR / "cni"
_PLUGINS = paths.NODE_DIR / "cni-plugins"
_KUBELET_CONFIG = paths.NODE_DIR / "kubelet.json"
_PROXY_CONFIG = paths.NODE_DIR / "kube-proxy.json"
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def start() -> None:
    """Start the node, or whatever part of it does not run; return when it is ready."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise LabError("the lab needs Linux and root (it makes namespaces and control groups)")
    if len(os.fsencode(paths.CONTAINERD_SOCKET)) > 90:
        raise LabError(f"{paths.CACHE} is too long a path for sockets: set MLFLOW_LAB_HOME")
    if paths.NETWORK not in ("198.18.0.0/16", "198.19.0.0/16"):
        raise LabError(
            f"MLFLOW_LAB_SUBNET must be 198.18 or 198.19, not what gives {paths.NETWORK}"
        )
    tools.build()
    packages.need(*_PACKAGES, *policies.PACKAGES)
    with held(_LOCK):
        owner = namespaces.owner()
        if owner not in ("", str(paths.CACHE)):
            raise LabError(f"the lab of {owner} runs: stop it with MLFLOW_LAB_HOME={owner}")
        if namespaces.whole() and not _outdated():
            namespaces.route()
        else:
            _end()
        dead = [name for name in _components() if not processes.alive(name)]
        if dead:
            with step("starting Kubernetes", usual="15 s"):
                _start(dead)
        else:
            _wait_until_ready()


def stop() -> None:
    """End the node and all it runs; its data, images and volumes stay for the next start."""
    with held(_LOCK):
        owner = namespaces.owner()
        if owner == str(paths.CACHE):
            with step("stopping Kubernetes", usual="5 s"):
                _end()
        elif not owner:
            # A stop that was killed at its very end has left its notes.
            namespaces.forget()


def delete() -> None:
    """End the node and remove its data, images and volumes."""
    stop()
    with held(_LOCK):
        shutil.rmtree(paths.NODE_DIR, ignore_errors=True)
        if paths.NODE_DIR.exists():
            raise LabError(f"{paths.NODE_DIR} cannot be removed")


def running() -> bool:
    """Tell whether every process of the node runs."""
    return all(processes.alive(name) for name in _components())


def ready() -> bool:
    """Tell whether the node runs whole, and answers."""
    return running() and _node_ready() and dns.answers() and _ingress_serves()


def status() -> list[tuple[str, str]]:
    """Return what a user wants to know of the node, as lines of a name and a state."""
    lines = [(name, "runs" if processes.alive(name) else "ended") for name in _components()]
    if processes.alive("kube-apiserver"):
        lines.append(("node", "Ready" if _node_ready() else "not ready"))
        lines.append(("service names", "resolve" if dns.answers() else "do not resolve"))
        lines.append(("ports 80 and 443", "open" if _ingress_serves() else "closed"))
    return [*lines, ("kubeconfig", str(paths.KUBECONFIG))]


def ctr(*arguments: str | Path) -> str:
    """Run containerd's client against the node's containerd, where Kubernetes' images are."""
    return run("ctr", "--address", paths.CONTAINERD_SOCKET, "--namespace", "k8s.io", *arguments)


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
    """Run kubectl against the node."""
    config = f"--kubeconfig={paths.KUBECONFIG}"
    return run(program("kubectl"), config, *arguments, stdin=stdin, check=check)


def _start(dead: list[str]) -> None:
    namespaces.claim()
    processes.prepare()
    paths.NODE_DIR.mkdir(parents=True, exist_ok=True)
    paths.NODE_DIR.chmod(0o700)  # keys, and volumes that anyone may write
    if not namespaces.whole():
        namespaces.make()
    credentials.make()
    _configure()
    commands = _components()
    first = ("etcd", "containerd", "kube-apiserver")
    for name in first:
        if name in dead:
            _start_process(name, commands[name])
    _wait("containerd", lambda: "overlayfs" in _plugins(), 30, first)
    _provide_node_image()
    _wait("the API server", _api_ready, 60, first)
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=_objects())
    for name in dead:
        if name not in first:
            _start_process(name, commands[name])
    _wait_until_ready()


def _start_process(name: str, command: list[str]) -> None:
    # The shims of containerd keep the pods running, and the next containerd finds the shims.
    if name != "containerd":
        processes.end(name)
    environment = {"PATH": _SEARCH_PATH, "HOME": "/root"}
    processes.start(name, [*namespaces.enter(), *command], environment)


def _wait_until_ready() -> None:
    names = tuple(_components())
    _wait("the node", _node_ready, 90, names)
    _wait("the cluster's DNS", dns.answers, 30, names)
    # A former Traefik pod with other arguments has 30 s to end.
    _wait("the ingress controller", _ingress_serves, 60, names)


def _wait(what: str, done: Callable[[], bool], seconds: float, names: tuple[str, ...]) -> None:
    deadline = time.monotonic() + seconds
    while True:
        for name in names:
            if not processes.alive(name):
                raise LabError(f"{name} ended: {processes.why_ended(name)}")
        if done():
            return
        if time.monotonic() > deadline:
            raise LabError(f"{what} is not ready after {seconds} s (logs: {paths.LOGS})")
        time.sleep(0.2)


def _plugins() -> str:
    try:
        return ctr("plugins", "ls")
    except LabError:
        return ""


def _api_ready() -> bool:
    return kubectl("get", "--raw=/readyz", "--request-timeout=5s", check=False) == "ok"


def _node_ready() -> bool:
    shown = kubectl("get", "nodes", paths.NODE_NAME, "--output=json", check=False)
    status: dict[str, list[dict[str, str]]] = json.loads(shown)["status"] if shown else {}
    for condition in status.get("conditions", []):
        if condition["type"] == "Ready" and condition["status"] == "True":
            # For a while, the API server shows a node as Ready that was stopped.
            seen = datetime.fromisoformat(condition["lastHeartbeatTime"])
            return seen.timestamp() >= int(time.time() - processes.age("kubelet"))
    return False


def _ingress_serves() -> bool:
    # After a start with other arguments, the former Traefik pod listens until it is replaced.
    target = (f"--namespace={ingress.NAMESPACE}", "deployment/traefik")
    state = kubectl("rollout", "status", "--watch=false", *target, check=False)
    return "successfully rolled out" in state and ingress.listens()


def _end() -> None:
    namespaces.condemn()
    # The kubelet ends before the pods, because it restarts them. etcd ends after the API server,
    # which hangs without etcd.
    last = ("kube-apiserver", "etcd", "containerd")
    processes.end(*(name for name in _components() if name not in last))
    processes.end_pods()
    for name in last:
        processes.end(name)
    processes.end_all()
    namespaces.remove()


def _components() -> dict[str, list[str]]:
    """Return the commands of the node's processes, in the order that they start."""
    return {
        "etcd": [
            str(program("etcd")),
            f"--data-dir={paths.NODE_DIR / 'etcd'}",
            "--log-level=warn",
        ],
        "containerd": ["containerd", f"--config={_CONTAINERD_CONFIG}"],
        "kube-apiserver": [
            str(program("kube-apiserver")),
            # Pods use the address that the API server advertises, which cannot be loopback.
            f"--advertise-address={paths.NODE_ADDRESS}",
            f"--bind-address={paths.NODE_ADDRESS}",
            "--etcd-servers=http://localhost:2379",
            f"--service-cluster-ip-range={paths.SERVICE_RANGE}",
            "--anonymous-auth=false",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--client-ca-file={PKI / 'ca.crt'}",
            f"--tls-cert-file={PKI / 'apiserver.crt'}",
            f"--tls-private-key-file={PKI / 'apiserver.key'}",
            f"--kubelet-certificate-authority={PKI / 'ca.crt'}",
            f"--kubelet-client-certificate={PKI / 'admin.crt'}",
            f"--kubelet-client-key={PKI / 'admin.key'}",
            # By default, `kubectl logs` makes the API server ask the machine's DNS for the node.
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={PKI / 'service-accounts.pub'}",
            f"--service-account-signing-key-file={PKI / 'service-accounts.key'}",
        ],
        "kube-controller-manager": [
            str(program("kube-controller-manager")),
            f"--kubeconfig={credentials.kubeconfig('controller-manager')}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            f"--root-ca-file={PKI / 'ca.crt'}",
            f"--service-account-private-key-file={PKI / 'service-accounts.key'}",
            f"--cluster-signing-cert-file={PKI / 'ca.crt'}",
            f"--cluster-signing-key-file={PKI / 'ca.key'}",
        ],
        "kube-scheduler": [
            str(program("kube-scheduler")),
            f"--kubeconfig={credentials.kubeconfig('scheduler')}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ],
        "policies": policies.command(),
        "kubelet": [
            str(program("kubelet")),
            f"--kubeconfig={credentials.kubeconfig('kubelet')}",
            f"--config={_KUBELET_CONFIG}",
            f"--root-dir={paths.NODE_DIR / 'kubelet'}",
            f"--hostname-override={paths.NODE_NAME}",
            f"--node-ip={paths.NODE_ADDRESS}",
        ],
        "kube-proxy": [str(program("kube-proxy")), f"--config={_PROXY_CONFIG}"],
        "coredns": dns.command(),
        "storage": storage.command(),
    }


def _objects() -> str:
    """Return the manifests of the objects that the node's own parts need."""
    template = Template(Path(__file__).with_name("manifests.yaml").read_text())
    return template.substitute(
        vars(paths),
        IMAGE=_NODE_IMAGE,
        PROVISIONER=storage.PROVISIONER,
        TRAEFIK=program("traefik").resolve().parent,
    )


def _configure() -> None:
    dns.configure()
    storage.configure(_NODE_IMAGE)
    _install_plugins()
    _NETWORK.mkdir(exist_ok=True)
    write(_NETWORK / "mlflow-lab.conflist", json.dumps(_network()))
    write(_CONTAINERD_CONFIG, _containerd())
    resolver = paths.NODE_DIR / "resolv.conf"
    resolver.touch()
    write(_KUBELET_CONFIG, json.dumps(_kubelet(resolver)))
    write(_PROXY_CONFIG, json.dumps(_proxy()))


def _outdated() -> bool:
    """Tell whether a version of the lab with other settings of containerd started the node."""
    return _CONTAINERD_CONFIG.exists() and _CONTAINERD_CONFIG.read_text() != _containerd()


def _install_plugins() -> None:
    """Put Debian's network plugins and the lab's into one folder: containerd takes one alone."""
    _PLUGINS.mkdir(exist_ok=True)
    for plugin in Path("/usr/lib/cni").iterdir():
        if not (_PLUGINS / plugin.name).is_symlink():
            (_PLUGINS / plugin.name).symlink_to(plugin)
    policies.install_plugin(_PLUGINS)


def _network() -> dict[str, object]:
    """Return the pods' network: a virtual cable for each pod, and the node as their router.

    There is no bridge, because answers between pods on a bridge bypass the node's address
    translation where the kernel lacks br_netfilter.
    """
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni",  # in the mount namespace, so that addresses end with the pods
        "ranges": [[{"subnet": paths.POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "0.4.0",
        "name": "mlflow-lab",
        "plugins": [
            {"type": "ptp", "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
            policies.plugin_configuration(),
        ],
    }


def _containerd() -> str:
    root = paths.NODE_DIR / "containerd"
    return f"""\
version = 2
root = "{root}"
state = "/run/containerd/state"  # hidden by the mount namespace: containers end with it
[grpc]
address = "{paths.CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{_NODE_IMAGE}"
netns_mounts_under_state_dir = true
# As Docker, and so minikube, does: port 80 is anyone's in a pod of its own.
enable_unprivileged_ports = true
enable_unprivileged_icmp = true
# Without CAP_SYS_RESOURCE or AppArmor's tools, as in a container or a small virtual machine.
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{_PLUGINS}"
conf_dir = "{_NETWORK}"
"""


def _kubelet(resolver: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": paths.NODE_ADDRESS,
        "containerRuntimeEndpoint": f"unix://{paths.CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{processes.GROUP}",
        "authentication": {"x509": {"clientCAFile": str(PKI / "ca.crt")}},
        "tlsCertFile": str(PKI / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(PKI / "kubelet-server.key"),
        "clusterDomain": "cluster.local",
        "clusterDNS": [paths.DNS_ADDRESS],
        "resolvConf": str(resolver),
        "podLogsDir": str(paths.NODE_DIR / "pod-logs"),
        "volumePluginDir": str(paths.NODE_DIR / "volume-plugins"),
        "failSwapOn": False,
        "oomScoreAdj": 0,  # a lower value takes CAP_SYS_RESOURCE
        "enforceNodeAllocatable": [],
        # 100: the kubelet collects no images, because no registry has them.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
    }


def _proxy() -> dict[str, object]:
    keep = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(credentials.kubeconfig("proxy"))},
        "clusterCIDR": paths.POD_RANGE,
        "hostnameOverride": paths.NODE_NAME,
        "conntrack": keep,  # the kernel's limits hold for the machine, and not for the namespace
        # The enforcer of policies rewrites a table of iptables, and may remove a chain that
        # kube-proxy has just made. kube-proxy tries again after this period (by default 30 s).
        "iptables": {"syncPeriod": "5s"},
    }


def _provide_node_image() -> None:
    """Import the image that the node itself needs, made of static programs.

    A container of this image holds a pod's namespaces open (catatonit's pause mode). Another makes
    and removes the folders of volumes.
    """
    if ctr("images", "list", "--quiet", f"name=={_NODE_IMAGE}"):
        return
    archive = paths.NODE_DIR / "image.tar"
    script = '#!/bin/busybox sh\nexec /bin/busybox {} "$VOL_DIR"\n'
    layer = _tar(
        {
            "catatonit": Path("/usr/bin/catatonit").read_bytes(),
            "bin/busybox": Path("/bin/busybox").read_bytes(),
            "setup": script.format("mkdir -p -m 0777").encode(),
            "teardown": script.format("rm -rf").encode(),
        }
    )
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": {"Entrypoint": ["/catatonit", "-P"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    content = [{"Config": "config.json", "RepoTags": [_NODE_IMAGE], "Layers": ["layer.tar"]}]
    files = {"config.json": json.dumps(config).encode(), "layer.tar": layer}
    archive.write_bytes(_tar({**files, "manifest.json": json.dumps(content).encode()}))
    ctr("images", "import", archive)
    archive.unlink()


def _tar(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()
