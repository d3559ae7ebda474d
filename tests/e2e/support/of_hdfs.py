"""The tests of HDFS alone, on whatever pair of backends has it."""

import re

from harness import clients
from harness.stack import Stack
from harness.waiting import wait_until
from tests.e2e.support.training_job import SMALL, assert_all_came_back, job

NAME_NODE = "hdfs-namenode-0"
HADOOP = ("/opt/hadoop/bin/hdfs", "--config", "/etc/hadoop")


class OfHdfs:
    """Tests for a class that has the fixtures ``stack`` and ``machine``."""

    def test_others_do_not_reach_mlflows_folder(self, stack: Stack) -> None:
        listing = (*HADOOP, "dfs", "-ls", "/mlflow")
        stack.kubectl("exec", NAME_NODE, "--", "env", "HADOOP_USER_NAME=mlflow", *listing)
        said = stack.kubectl(
            *("exec", NAME_NODE, "--", "sh", "-c"),
            f"HADOOP_USER_NAME=stranger {' '.join(listing)} 2>&1 || true",
        )
        assert "Permission denied: user=stranger, access=READ_EXECUTE" in said

    def test_blocks_are_kept_as_often_as_the_setting_says(
        self, stack: Stack, machine: clients.Machine
    ) -> None:
        job(machine, "once", stack.client_env(), SMALL)
        stack.set(hdfsDataNodes="2", hdfsReplication="2")
        stack.change("up")
        stack.change("preview", "--expect-no-changes")
        report = job(machine, "twice", stack.client_env(), SMALL)
        assert_all_came_back(report, SMALL)
        # What was there before is found again as it was, and what is new is there twice.
        wait_until(
            lambda: copies(stack) == {(1, 1), (2, 2)}, 60, "each block is where it has to be"
        )
        said = stack.kubectl("exec", NAME_NODE, "--", *HADOOP, "dfsadmin", "-report")
        assert "Live datanodes (2)" in said


def copies(stack: Stack) -> set[tuple[int, int]]:
    """Return how many copies of their blocks files should have, with how many there are."""
    # Not by the Service's name: no policy lets the NameNode reach its own pages.
    check = (*HADOOP, "fsck", "-D", "dfs.namenode.http-address=127.0.0.1:9870", "/mlflow")
    said = stack.kubectl("exec", NAME_NODE, "--", *check, "-files", "-blocks", "-locations")
    return {
        (int(wanted), where.count("DatanodeInfoWithStorage["))
        for wanted, blocks in re.findall(
            r"replication=(\d+), [1-9]\d* block.*\n((?:.*\n)*?)\n", said
        )
        for where in re.findall(r"len=.*", blocks)
    }
