"""The nodes: Kubernetes on one machine or a few, started, healed and ended as a whole."""

import functools
import hashlib
import io
import json
import os
import platform
import shutil
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
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
from lab.machines import FIRST, MACHINES, Machine, asked, note
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
_PLUGINS = paths.NODE_DIR / "cni-plugins"
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def start(nodes: int | None = None) -> None:
    """Start the nodes, or whatever part of them does not run; return when they are ready.

    Args:
        nodes: How many, 1 to 3; by default, as many as the last start was asked for, or 1. Further
            nodes are ended, and keep their images and volumes.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise LabError("the lab needs Linux and root (it makes namespaces and control groups)")
    if len(os.fsencode(asked(nodes)[-1].socket)) > 90:
        raise LabError(f"{paths.CACHE} is too long a path for sockets: set MLFLOW_LAB_HOME")
    if paths.NETWORK not in ("198.18.0.0/16", "198.19.0.0/16"):
        raise LabError(
            f"MLFLOW_LAB_SUBNET must be 198.18 or 198.19, not what gives {paths.NETWORK}"
        )
    tools.build()
    packages.need(*_PACKAGES, *policies.PACKAGES)
    with held(_LOCK):
        owner = namespaces.owner()
        ours = owner in ("", str(paths.CACHE))
        if not ours and processes.any_run():
            raise LabError(f"the lab of {owner} runs: stop it with MLFLOW_LAB_HOME={owner}")
        # A lab of another home that was killed as a whole, as by a reset of the machine, gives way.
        if ours and namespaces.whole(FIRST) and not _outdated():
            namespaces.route(FIRST)
        else:
            _end()
        machines = asked(nodes)
        for worker in MACHINES[1:]:
            if worker in machines and namespaces.whole(worker):
                namespaces.route(worker)
            else:
                _end_worker(worker)
        if machines != asked():
            # Its settings change. A start that is killed here finds it dead, and writes them.
            processes.end("storage")
            _make_folder()
            note(machines)
        dead = [name for name in _components(machines) if not processes.alive(name)]
        if dead:
            with step("starting Kubernetes", usual="15 s"):
                _start(dead, machines)
        else:
            _wait_until_ready(machines)


def stop() -> None:
    """End all nodes and what they run; data, images and volumes stay for the next start."""
    with held(_LOCK):
        owner = namespaces.owner()
        if owner == str(paths.CACHE):
            with step("stopping Kubernetes", usual="5 s"):
                _end()
        elif not owner:
            # A stop that was killed at its very end has left its notes.
            namespaces.forget()


def delete() -> None:
    """End all nodes and remove their data, images and volumes."""
    stop()
    with held(_LOCK):
        shutil.rmtree(paths.NODE_DIR, ignore_errors=True)
        if paths.NODE_DIR.exists():
            raise LabError(f"{paths.NODE_DIR} cannot be removed")


def lose(name: str) -> None:
    """Take a worker away at once, with its pods and volumes, as a machine goes that breaks.

    Its images stay, because no registry has them for the node that the next start makes.
    """
    with held(_LOCK):
        worker = next((worker for worker in asked()[1:] if worker.node == name), None)
        if worker is None or namespaces.owner() != str(paths.CACHE):
            raise LabError(f"{name} does not run: `python -m lab start --nodes 3` starts it")
        namespaces.silence(worker)
        _end_worker(worker)
        lost = (worker.volumes, worker.folder / "kubelet", worker.folder / "pod-logs")
        run("rm", "--recursive", "--force", *lost)


def running() -> bool:
    """Tell whether every process of the nodes runs."""
    return all(processes.alive(name) for name in _components(asked()))


def ready() -> bool:
    """Tell whether the nodes run whole, and answer."""
    nodes_ready = running() and all(_node_ready(machine) for machine in asked())
    return nodes_ready and dns.answers() and _ingress_serves()


def status() -> list[tuple[str, str]]:
    """Return what a user wants to know of the nodes, as lines of a name and a state."""
    machines = asked()
    lines = [(name, "runs" if processes.alive(name) else "ended") for name in _components(machines)]
    if processes.alive("kube-apiserver"):
        for machine in machines:
            state = "Ready" if _node_ready(machine) else "not ready"
            lines.append((machine.process("node"), state))
        lines.append(("service names", "resolve" if dns.answers() else "do not resolve"))
        lines.append(("ports 80 and 443", "open" if _ingress_serves() else "closed"))
    return [*lines, ("kubeconfig", str(paths.KUBECONFIG))]


def with_containerd() -> list[Machine]:
    """Return the machines that hold images: the first, and each worker that is not lost."""
    first, *workers = asked()
    return [first, *(one for one in workers if processes.alive(one.process("containerd")))]


def ctr(*arguments: str | Path, machine: Machine = FIRST) -> str:
    """Run containerd's client against a node's containerd, where Kubernetes' images are."""
    return run("ctr", "--address", machine.socket, "--namespace", "k8s.io", *arguments)


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
    """Run kubectl against the API server."""
    config = f"--kubeconfig={paths.KUBECONFIG}"
    return run(program("kubectl"), config, *arguments, stdin=stdin, check=check)


def _make_folder() -> None:
    paths.NODE_DIR.mkdir(parents=True, exist_ok=True)
    paths.NODE_DIR.chmod(0o700)  # keys, and volumes that anyone may write


def _start(dead: list[str], machines: Sequence[Machine]) -> None:
    namespaces.claim()
    processes.prepare(machine.label for machine in machines)
    _make_folder()
    for machine in machines:
        if not namespaces.whole(machine):
            namespaces.make(machine)
    credentials.make(machines)
    _configure(machines)
    commands = _components(machines)
    first = ("etcd", *_containerds(machines), "kube-apiserver")
    for name in first:
        if name in dead:
            _start_process(name, commands[name])
    for machine in machines:
        _wait("containerd", functools.partial(_containerd_ready, machine), 30, first)
        _provide_node_image(machine)
    _wait("the API server", _api_ready, 60, first)
    _fit_objects(machines)
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=_objects(machines))
    for name in dead:
        if name not in first:
            _start_process(name, commands[name])
    _wait_until_ready(machines)


def _start_process(name: str, command: list[str]) -> None:
    # The shims of containerd keep the pods running, and the next containerd finds the shims.
    if name not in _containerds(MACHINES):
        processes.end(name)
    processes.start(name, command, {"PATH": _SEARCH_PATH, "HOME": "/root"})


def _wait_until_ready(machines: Sequence[Machine]) -> None:
    names = tuple(_components(machines))
    for machine in machines:
        _wait(f"the node {machine.node}", functools.partial(_node_ready, machine), 90, names)
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


def _containerd_ready(machine: Machine) -> bool:
    try:
        return "overlayfs" in ctr("plugins", "ls", machine=machine)
    except LabError:
        return False


def _api_ready() -> bool:
    return kubectl("get", "--raw=/readyz", "--request-timeout=5s", check=False) == "ok"


def _node_ready(machine: Machine) -> bool:
    shown = kubectl("get", "nodes", machine.node, "--output=json", check=False)
    status: dict[str, list[dict[str, str]]] = json.loads(shown)["status"] if shown else {}
    for condition in status.get("conditions", []):
        if condition["type"] == "Ready" and condition["status"] == "True":
            # For a while, the API server shows a node as Ready that was stopped.
            seen = datetime.fromisoformat(condition["lastHeartbeatTime"])
            return seen.timestamp() >= int(time.time() - processes.age(machine.process("kubelet")))
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
    last = ("kube-apiserver", "etcd", *_containerds(MACHINES))
    processes.end(*(name for name in _components(MACHINES) if name not in last))
    processes.end_pods()
    for name in last:
        processes.end(name)
    processes.end_all()
    namespaces.remove_all()


def _end_worker(worker: Machine) -> None:
    processes.end_all(worker.label)
    namespaces.remove(worker)


def _components(machines: Sequence[Machine]) -> dict[str, list[str]]:
    """Return the commands of all processes, in the order that they start."""
    commands = {name: [*namespaces.enter(), *made] for name, made in _control_plane().items()}
    for machine in machines:
        for name, made in _agents(machine).items():
            commands[machine.process(name)] = [*namespaces.enter(machine), *made]
    return commands


def _containerds(machines: Sequence[Machine]) -> tuple[str, ...]:
    return tuple(machine.process("containerd") for machine in machines)


def _control_plane() -> dict[str, list[str]]:
    """Return the commands of what runs once, on the first machine."""
    return {
        "etcd": [
            str(program("etcd")),
            f"--data-dir={paths.NODE_DIR / 'etcd'}",
            "--log-level=warn",
        ],
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
        "coredns": dns.command(),
        "storage": storage.command(),
    }


def _agents(machine: Machine) -> dict[str, list[str]]:
    """Return the commands of what runs on each machine."""
    folder = machine.folder
    return {
        "containerd": ["containerd", f"--config={folder / 'containerd.toml'}"],
        "policies": policies.command(machine),
        "kubelet": [
            str(program("kubelet")),
            f"--kubeconfig={credentials.kubeconfig(credentials.kubelet(machine))}",
            f"--config={folder / 'kubelet.json'}",
            f"--root-dir={folder / 'kubelet'}",
            f"--hostname-override={machine.node}",
            f"--node-ip={machine.address}",
        ],
        "kube-proxy": [str(program("kube-proxy")), f"--config={folder / 'kube-proxy.json'}"],
    }


def _fit_objects(machines: Sequence[Machine]) -> None:
    """Change what the API server keeps of nodes and volumes when the number of nodes changes."""
    gone = [machine.node for machine in MACHINES if machine not in machines]
    if gone:
        kubectl("delete", "nodes", "--ignore-not-found", *gone)
    storage_class = ("storageclass", storage.CLASS, "--ignore-not-found")
    mode = kubectl("get", *storage_class, "--output=jsonpath={.volumeBindingMode}")
    if mode != storage.binding(machines):
        kubectl("delete", *storage_class)  # the mode of a class cannot change
    # A volume that was made when there was one node belongs to the first from now on. Without this,
    # the provisioner removes no such volume.
    if len(machines) > 1:
        fields = "{.metadata.name} {.spec.storageClassName} {.spec.nodeAffinity}"
        listed = f'--output=jsonpath={{range .items[*]}}{fields}{{"\\n"}}{{end}}'
        for volume in kubectl("get", "pv", listed).splitlines():
            name, *about = volume.split()
            if about == [storage.CLASS]:
                kubectl("patch", "pv", name, f"--patch={json.dumps(storage.on(FIRST))}")


def _objects(machines: Sequence[Machine]) -> str:
    """Return the manifests of the objects that the node's own parts need."""
    template = Template(Path(__file__).with_name("manifests.yaml").read_text())
    return template.substitute(
        vars(paths),
        IMAGE=_NODE_IMAGE,
        PROVISIONER=storage.PROVISIONER,
        BINDING=storage.binding(machines),
        TRAEFIK=program("traefik").resolve().parent,
    )


def _configure(machines: Sequence[Machine]) -> None:
    dns.configure()
    storage.configure(_NODE_IMAGE, machines)
    _install_plugins()
    resolver = paths.NODE_DIR / "resolv.conf"
    resolver.touch()
    for machine in machines:
        (machine.folder / "cni").mkdir(parents=True, exist_ok=True)
        for file, content in _of_containerd(machine).items():
            write(file, content)
        write(machine.folder / "kubelet.json", json.dumps(_kubelet(machine, resolver)))
        write(machine.folder / "kube-proxy.json", json.dumps(_proxy(machine)))


def _of_containerd(machine: Machine) -> dict[Path, str]:
    """Return the settings of a machine's containerd, by file."""
    return {
        machine.folder / "cni" / "mlflow-lab.conflist": json.dumps(_network(machine)),
        machine.folder / "containerd.toml": _containerd(machine),
    }


def _outdated() -> bool:
    """Tell whether a version of the lab with other settings of containerd started the node."""
    settings = _of_containerd(FIRST).items()
    return any(file.exists() and file.read_text() != content for file, content in settings)


def _install_plugins() -> None:
    """Put Debian's network plugins and the lab's into one folder: containerd takes one alone."""
    _PLUGINS.mkdir(exist_ok=True)
    for plugin in Path("/usr/lib/cni").iterdir():
        if not (_PLUGINS / plugin.name).is_symlink():
            (_PLUGINS / plugin.name).symlink_to(plugin)
    policies.install_plugin(_PLUGINS)


def _network(machine: Machine) -> dict[str, object]:
    """Return the pods' network: a virtual cable for each pod, and the node as their router.

    There is no bridge, because answers between pods on a bridge bypass the node's address
    translation where the kernel lacks br_netfilter.
    """
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni",  # in the mount namespace, so that addresses end with the pods
        "ranges": [[{"subnet": machine.pods}]],
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


def _containerd(machine: Machine) -> str:
    return f"""\
version = 2
root = "{machine.folder / "containerd"}"
state = "/run/containerd/state"  # hidden by the mount namespace: containers end with it
[grpc]
address = "{machine.socket}"
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
conf_dir = "{machine.folder / "cni"}"
"""


def _kubelet(machine: Machine, resolver: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": machine.address,
        "containerRuntimeEndpoint": f"unix://{machine.socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": str(Path("/", processes.GROUP, machine.label)),
        "authentication": {"x509": {"clientCAFile": str(PKI / "ca.crt")}},
        "tlsCertFile": str(PKI / f"kubelet-server{machine.suffix}.crt"),
        "tlsPrivateKeyFile": str(PKI / f"kubelet-server{machine.suffix}.key"),
        "clusterDomain": "cluster.local",
        "clusterDNS": [paths.DNS_ADDRESS],
        "resolvConf": str(resolver),
        "podLogsDir": str(machine.folder / "pod-logs"),
        "volumePluginDir": str(machine.folder / "volume-plugins"),
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


def _proxy(machine: Machine) -> dict[str, object]:
    keep = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(credentials.kubeconfig("proxy"))},
        "clusterCIDR": paths.POD_RANGE,
        "hostnameOverride": machine.node,
        "conntrack": keep,  # the kernel's limits hold for the machine, and not for the namespace
        # The enforcer of policies rewrites a table of iptables, and may remove a chain that
        # kube-proxy has just made. kube-proxy tries again after this period (by default 30 s).
        "iptables": {"syncPeriod": "5s"},
    }


def _provide_node_image(machine: Machine) -> None:
    """Import the image that a node itself needs, made of static programs.

    A container of this image holds a pod's namespaces open (catatonit's pause mode). Another makes
    and removes the folders of volumes.
    """
    if ctr("images", "list", "--quiet", f"name=={_NODE_IMAGE}", machine=machine):
        return
    archive = machine.folder / "image.tar"
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
    ctr("images", "import", archive, machine=machine)
    archive.unlink()


def _tar(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()
