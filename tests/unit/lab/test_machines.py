"""What tells the lab's machines from each other, and how many of them there are."""

from ipaddress import ip_address, ip_network
from itertools import combinations
from pathlib import Path

import pytest

from lab import machines, namespaces, paths
from lab.machines import FIRST, MACHINES


def test_the_first_machine_has_the_names_and_addresses_of_a_lab_without_workers() -> None:
    assert (FIRST.node, FIRST.netns) == (paths.NODE_NAME, paths.NETNS)
    assert (FIRST.address, FIRST.gateway) == (paths.NODE_ADDRESS, paths.HOST_ADDRESS)
    assert (FIRST.folder, FIRST.socket) == (paths.NODE_DIR, paths.CONTAINERD_SOCKET)
    assert (FIRST.volumes, FIRST.process("kubelet")) == (paths.VOLUMES, "kubelet")


def test_no_two_machines_share_a_name_a_cable_or_an_address() -> None:
    for one, other in combinations(MACHINES, 2):
        assert not set(vars(one).values()) & set(vars(other).values())
        assert not ip_network(one.pods).overlaps(ip_network(other.pods))
    for machine in MACHINES:
        cable = ip_network(f"{machine.address}/30", strict=False)
        assert list(cable.hosts()) == [ip_address(machine.gateway), ip_address(machine.address)]
        assert ip_network(machine.pods).subnet_of(ip_network(paths.POD_RANGE))
        assert len(namespaces._link(machine)) <= 15, "more than the kernel takes"


def test_the_number_of_machines_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "_NOTE", tmp_path / "note")
    assert machines.asked() == (FIRST,)
    machines.note(machines.asked(3))
    assert machines.asked() == MACHINES
    assert machines.asked(1) == (FIRST,)
