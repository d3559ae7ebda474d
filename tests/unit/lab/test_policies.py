"""The lab's enforcer: what policies become, and that no pod starts without them.

That the packets obey is tried in tests/e2e/test_5_network.py.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from lightkube.models.meta_v1 import LabelSelector
from lightkube.resources.networking_v1 import NetworkPolicy

from lab import policies
from lab.policies.rules import Cluster, Pod, render, selects

RANGE = "198.18.0.0/17"
SERVER = Pod("ml", {"app": "server"}, "198.18.0.5", {("http", "TCP"): 5000})
DATABASE = Pod("ml", {"app": "database"}, "198.18.0.6", {("sql", "TCP"): 5432})
STRANGER = Pod("other", {"app": "server"}, "198.18.0.7")
DNS = Pod("kube-system", {"k8s-app": "kube-dns"}, "198.18.255.2", only=frozenset({("UDP", 53)}))
INGRESS = Pod("ingress-nginx", {}, "198.18.0.8")
REFUSED = "reject with icmp type admin-prohibited"


def policy(applies_to: dict[str, str], **spec: Any) -> Any:
    types = [kind for kind in ("Ingress", "Egress") if kind.lower() in spec]
    selector = {"matchLabels": applies_to}
    return NetworkPolicy.from_dict(
        {
            "metadata": {"name": "one", "namespace": "ml"},
            "spec": {"podSelector": selector, "policyTypes": types, **spec},
        }
    )


def ruleset(*found: Any) -> str:
    labels = {"ml": {"team": "a"}, "other": {"team": "b"}}
    cluster = Cluster(found, labels, [SERVER, DATABASE, STRANGER, INGRESS], RANGE)
    return render(cluster, [DNS])


def chain(text: str, name: str) -> list[str]:
    """Return the lines of a chain."""
    _, _, rest = text.partition(f"chain {name} {{\n")
    return rest.partition("\n}")[0].splitlines()


def egress(*rules: Any) -> list[str]:
    """Return what becomes of the server's egress, between what is always there."""
    itself, *lines, last = chain(
        ruleset(policy(SERVER.labels, egress=list(rules))), f"egress-{SERVER.address}"
    )
    assert itself == f"ip daddr {SERVER.address} return"
    assert last == REFUSED
    return lines


def to(*peers: Any, ports: Any = None) -> dict[str, Any]:
    return {"to": list(peers), **({"ports": ports} if ports else {})}


def pods(**labels: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": labels}}


def test_without_policies_pods_are_open_and_addresses_of_no_pod_closed() -> None:
    text = ruleset()
    assert "jump" not in text
    assert f"ip saddr {RANGE} ip saddr != @pods drop" in chain(text, "between")
    assert f"ip daddr {RANGE} ip daddr != @pods drop" in chain(text, "between")
    assert "elements = { 198.18.0.5, 198.18.0.6, 198.18.0.7, 198.18.0.8 }" in text


def test_a_policy_holds_in_its_own_namespace_and_direction_alone() -> None:
    text = ruleset(policy(SERVER.labels, ingress=[]))
    assert f"{SERVER.address} : jump ingress-{SERVER.address}" in text
    assert f"jump egress-{SERVER.address}" not in text
    assert f"jump ingress-{STRANGER.address}" not in text
    assert chain(text, f"ingress-{SERVER.address}") == [
        f"ip saddr {SERVER.address} return",
        REFUSED,
    ]


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        (
            to(pods(app="database"), ports=[{"protocol": "TCP", "port": 5432}]),
            ["ip daddr { 198.18.0.6 } tcp dport { 5432 } return"],
        ),
        (to(pods(app="database")), ["ip daddr { 198.18.0.6 } return"]),
        # A name is the port's of that name at the other end, where there is one.
        (
            to(pods(), ports=[{"protocol": "TCP", "port": "sql"}]),
            ["ip daddr { 198.18.0.6 } tcp dport { 5432 } return"],
        ),
        (
            to(pods(app="database"), ports=[{"protocol": "TCP", "port": 1, "endPort": 9}]),
            ["ip daddr { 198.18.0.6 } tcp dport { 1-9 } return"],
        ),
        (
            to(pods(app="database"), ports=[{"protocol": "SCTP"}]),
            ["ip daddr { 198.18.0.6 } sctp dport { 0-65535 } return"],
        ),
        (
            to({"namespaceSelector": {"matchLabels": {"team": "b"}}}),
            ["ip daddr { 198.18.0.7 } return"],
        ),
        # Both at once, not either of them.
        (to({"namespaceSelector": {"matchLabels": {"team": "b"}}, **pods(app="database")}), []),
        (
            to({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}),
            ["ip daddr 10.0.0.0/8 ip daddr != { 10.1.0.0/16 } return"],
        ),
        (to({"ipBlock": {"cidr": "2000::/3"}}), []),
        ({}, ["return"]),
        ({"ports": [{"protocol": "UDP", "port": 53}]}, ["udp dport { 53 } return"]),
        # The node stands for DNS at its own port, whatever else listens there.
        (
            to({"namespaceSelector": {}, **pods(**{"k8s-app": "kube-dns"})}),
            ["ip daddr { 198.18.255.2 } udp dport { 53 } return"],
        ),
        (
            to(
                {"namespaceSelector": {}, **pods(**{"k8s-app": "kube-dns"})},
                ports=[{"protocol": "TCP", "port": 6443}],
            ),
            [],
        ),
    ],
)
def test_a_rule_lets_through_what_it_says(rule: dict[str, Any], lines: list[str]) -> None:
    assert egress(rule) == lines


def test_the_ingress_controller_is_let_in_by_its_namespace_and_the_node_is_not_it() -> None:
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}
    text = ruleset(
        policy(SERVER.labels, ingress=[{"from": [peer], "ports": [{"port": "http"}]}]),
        policy(DATABASE.labels, ingress=[{"from": [{"namespaceSelector": {}}]}]),
    )
    assert chain(text, f"ingress-{SERVER.address}")[1:-1] == [
        f"ip saddr {{ {INGRESS.address} }} tcp dport {{ 5000 }} return"
    ]
    assert DNS.address not in "".join(chain(text, f"ingress-{DATABASE.address}"))


@pytest.mark.parametrize(
    ("operator", "values", "picked"),
    [
        ("In", ["a", "b"], True),
        ("In", ["b"], False),
        ("NotIn", ["b"], True),
        ("NotIn", ["a"], False),
        ("Exists", None, True),
        ("DoesNotExist", None, False),
    ],
)
def test_selectors_pick_as_kubernetes_does(
    operator: str, values: list[str] | None, *, picked: bool
) -> None:
    expression = {"key": "team", "operator": operator, "values": values}
    selector = LabelSelector.from_dict({"matchExpressions": [expression]})
    assert selects(selector, {"team": "a"}) == picked
    assert selects(LabelSelector(), {})


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="the kernel asks for root, and nft"
)
def test_the_kernel_takes_it_twice() -> None:
    blocks = [{"ipBlock": {"cidr": cidr}} for cidr in ("0.0.0.0/0", "::/0", "192.0.2.7/32")]
    blocks.append({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "192.0.2.7/32"]}})
    ports = [{"protocol": "TCP"}, {"port": 443}, {"protocol": "UDP", "port": 53, "endPort": 99}]
    text = ruleset(
        policy({}, ingress=[{}], egress=[to(pods(app="database"))]),
        policy({}, ingress=[{"from": blocks, "ports": ports}], egress=[to(*blocks)]),
    )
    for once in (text, text + text):
        subprocess.run(
            ["unshare", "--net", "nft", "--file", "-"],
            input=once,
            check=True,
            capture_output=True,
            text=True,
        )


def plugin(folder: Path, command: str, **configuration: Any) -> subprocess.CompletedProcess[str]:
    """Run the plugin as the container runtime does."""
    policies.install_plugin(folder, Path(sys.executable).resolve())
    given = {
        "records": str(folder / "records"),
        "socket": str(folder / "socket"),
        "seconds": 0.3,
        "prevResult": {"ips": [{"address": "198.18.0.5/32"}]},
    }
    return subprocess.run(
        [str(folder / policies.PLUGIN)],
        input=json.dumps({**given, **configuration}),
        env={
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "c0ffee",
            "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=ml;K8S_POD_NAME=server-0",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_pod_starts_when_the_enforcer_knows_its_address(tmp_path: Path) -> None:
    record = tmp_path / "records" / "198.18.0.5"
    known: list[str] = []
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "socket"))
        door.listen()

        def answer() -> None:
            connection, _ = door.accept()
            with connection:
                known.append(record.read_text())
                connection.sendall(b"done")

        enforcer = threading.Thread(target=answer)
        enforcer.start()
        added = plugin(tmp_path, "ADD", seconds=20)
        enforcer.join()
    assert json.loads(added.stdout) == {"ips": [{"address": "198.18.0.5/32"}]}
    assert known == ["ml/server-0 c0ffee"]
    assert plugin(tmp_path, "DEL").returncode == 0
    assert not record.exists()


def test_no_pod_starts_without_the_enforcer(tmp_path: Path) -> None:
    refused = plugin(tmp_path, "ADD")
    assert refused.returncode == 1
    assert "no network policies are enforced" in json.loads(refused.stdout)["msg"]
