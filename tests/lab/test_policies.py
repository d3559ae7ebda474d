"""Network policies are in force when a pod's first program starts, and no pod starts without them.

That each policy of the stack does what it says is proved by tests/e2e/shared_stack/test_network.py.
"""

import os
import signal
import time

from tests.lab.pods import NAMESPACE, PORT, SERVE, apply, logs, pod, policy, value, wait
from tests.lab.second_lab import NEEDS_THE_LAB, Lab

pytestmark = NEEDS_THE_LAB

SERVER, CLIENT = {"role": "server"}, {"role": "client"}
PODS = 5  # of each kind, at once: one alone may meet its first moment too late


def test_a_pod_is_wired_and_protected_from_its_first_moment(lab: Lab) -> None:
    lab.run("start")
    lab.kubectl("create", "namespace", NAMESPACE)
    to, source = ([{"podSelector": {"matchLabels": labels}}] for labels in (SERVER, CLIENT))
    ports = [{"port": PORT}]
    apply(
        lab,
        policy("denied", {}, ingress=[], egress=[]),
        policy("server", SERVER, ingress=[{"from": source, "ports": ports}]),
        policy("client", CLIENT, egress=[{"to": to, "ports": ports}]),
        pod(lab, "server", SERVER, SERVE),
    )
    wait(lab, "pod/server", "condition=Ready")
    address = value(lab, "pod/server", ".status.podIP")
    probe = f"busybox time -p busybox nc -w 9 {address} {PORT} </dev/null 2>&1; true"
    kinds = {"client": CLIENT, "denied": {}}
    names = [(kind, f"{kind}-{number}") for kind in kinds for number in range(PODS)]
    apply(lab, *(pod(lab, name, kinds[kind], probe) for kind, name in names))
    for kind, name in names:
        said, *rest = logs(lab, name)
        (seconds,) = (float(line.split()[1]) for line in rest if line.startswith("real"))
        assert ("Connection refused" in said) == (kind == "denied"), (name, said)
        assert (said == "hello") == (kind == "client"), (name, said)
        # Not after the time for which it would wait: one second is TCP's, to ask again.
        assert seconds < 3, (name, said)


def test_no_pod_starts_without_the_enforcer(lab: Lab) -> None:
    os.kill(lab.pid("policies"), signal.SIGKILL)
    apply(lab, pod(lab, "late", {}, "true"))
    time.sleep(5)
    assert value(lab, "pod/late", ".status.phase") == "Pending"
    lab.run("start")
    wait(lab, "pod/late", "jsonpath={.status.phase}=Succeeded")
