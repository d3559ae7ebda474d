"""The lab's node starts once, heals, and ends without a trace, whatever was killed before.

A second lab, with a home and a network of its own, so that one in use is left alone. What runs in
pods is proved by the end-to-end tests.
"""

import os
import signal
import stat
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab.second_lab import COMPONENTS, NAME, NEEDS_THE_LAB, Lab, running, traces

pytestmark = NEEDS_THE_LAB
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
"""


def test_a_start_killed_at_any_moment_is_taken_up_by_the_next(lab: Lab) -> None:
    for seconds in (0.3, 0.6, 1, 1.5, 2.5, 5):
        started = lab.begin("start")
        time.sleep(seconds)
        started.kill()
        started.communicate()
    lab.run("start")
    assert "Ready" in lab.kubectl("get", "nodes")


def test_two_starts_at_once_make_one_node(lab: Lab) -> None:
    lab.run("stop")
    both = [lab.begin("start"), lab.begin("start")]
    assert [started.wait(timeout=240) for started in both] == [0, 0]
    lab.run("status")


def test_a_stop_killed_at_any_moment_is_taken_up_by_start_or_stop(lab: Lab) -> None:
    for seconds, then in ((0.4, "start"), (0.8, "stop"), (1.2, "start"), (1.6, "stop")):
        lab.run("start")
        stopping = lab.begin("stop")
        time.sleep(seconds)
        stopping.kill()
        stopping.communicate()
        lab.run(then)
        assert then == "start" or traces(lab) == []
    # Its last step, half done: that is rarely met by time.
    Path(f"/run/{NAME}").mkdir()
    lab.run("stop")
    assert traces(lab) == []


def test_a_second_start_changes_nothing_and_says_nothing(lab: Lab) -> None:
    lab.run("start")
    before = lab.pids()
    assert lab.run("start") == ""
    assert lab.pids() == before


@pytest.mark.parametrize("name", COMPONENTS)
def test_start_brings_back_what_was_killed_and_leaves_the_rest(lab: Lab, name: str) -> None:
    lab.run("start")
    before = lab.pids()
    os.kill(before[name], signal.SIGKILL)
    lab.run("start")
    after = lab.pids()
    assert {changed for changed in after if after[changed] != before[changed]} == {name}
    lab.run("status")


def test_a_claim_has_a_folder_for_any_user_until_it_is_deleted(lab: Lab) -> None:
    """No pod mounts the claim, and the provisioner is killed while it works."""
    lab.run("start")
    lab.kubectl("apply", "--filename=-", stdin=CLAIM)
    os.kill(lab.pid("storage"), signal.SIGKILL)
    lab.run("start")
    lab.kubectl("wait", "pvc/kept", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s")
    (folder,) = (lab.home / "node" / "volumes").iterdir()
    assert stat.filemode(folder.stat().st_mode) == "drwxrwxrwx"
    lab.kubectl("delete", "pvc/kept", "--wait=false")
    os.kill(lab.pid("storage"), signal.SIGKILL)
    lab.run("start")
    lab.kubectl("wait", "pv", "--all", "--for=delete", "--timeout=60s")
    assert not folder.exists()


def test_start_makes_a_lost_network_anew(lab: Lab) -> None:
    lab.run("start")
    subprocess.run(["ip", "netns", "delete", NAME], check=True)
    lab.run("start")
    lab.run("status")


def test_a_stopped_node_leaves_no_trace_and_comes_back_with_its_data(lab: Lab) -> None:
    lab.run("start")
    lab.kubectl("create", "configmap", "kept", "--from-literal=key=value")
    lab.run("stop")
    assert traces(lab) == []
    assert lab.run("stop") == ""
    lab.run("start")
    assert lab.kubectl("get", "configmap", "kept", "--output=jsonpath={.data.key}") == "value"


def test_a_network_that_another_lab_has_is_refused(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lab.run("start")
    refused = Lab(tmp_path_factory.mktemp("other")).begin("start")
    _, errors = refused.communicate(timeout=60)
    assert refused.returncode == 1
    assert errors == f"lab: the lab of {lab.home} runs: stop it with MLFLOW_LAB_HOME={lab.home}\n"
    lab.run("status")


def test_a_lab_of_which_no_process_is_left_gives_way_to_another(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lab.run("start")
    while left := running():
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    other = Lab(tmp_path_factory.mktemp("other"))
    other.run("start")
    other.run("delete")
    assert traces(lab) == []


def test_a_deleted_node_leaves_no_data(lab: Lab) -> None:
    lab.run("start")
    lab.run("delete")
    assert traces(lab) == []
    assert not (lab.home / "node").exists()
