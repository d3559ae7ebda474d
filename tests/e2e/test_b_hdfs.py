"""The same stack on HDFS, by one setting, and what is HDFS's own."""

from tests.e2e import places
from tests.e2e.databases import POSTGRES
from tests.e2e.pair import Pair
from tests.e2e.stack import Stack
from tests.e2e.stores import HDFS
from tests.e2e.test_3_client import SMALL, assert_all_came_back, job

NAME_NODE = "hdfs-namenode-0"
HADOOP = ("/opt/hadoop/bin/hdfs", "--config", "/etc/hadoop")


class TestOnPostgresAndHdfs(Pair):
    database, store = POSTGRES, HDFS

    def test_others_do_not_reach_mlflows_folder(self, stack: Stack) -> None:
        listing = (*HADOOP, "dfs", "-ls", "/mlflow")
        stack.kubectl("exec", NAME_NODE, "--", "env", "HADOOP_USER_NAME=mlflow", *listing)
        said = stack.kubectl(
            *("exec", NAME_NODE, "--", "sh", "-c"),
            f"HADOOP_USER_NAME=stranger {' '.join(listing)} 2>&1 || true",
        )
        assert "Permission denied: user=stranger, access=READ_EXECUTE" in said

    def test_blocks_are_kept_as_often_as_the_setting_says(
        self, stack: Stack, machine: places.Machine
    ) -> None:
        job(machine, "once", stack.client_env(), SMALL)
        stack.set(hdfsDataNodes="2", hdfsReplication="2")
        stack.change("up")
        stack.change("preview", "--expect-no-changes")
        report = job(machine, "twice", stack.client_env(), SMALL)
        assert_all_came_back(report, SMALL)
        # What was there before is found again as it was, and what is new is there twice.
        listing = (*HADOOP, "dfs", "-ls", "-R", "/mlflow")
        lines = stack.kubectl("exec", NAME_NODE, "--", *listing).splitlines()
        assert {line.split()[1] for line in lines if line.startswith("-")} == {"1", "2"}
        said = stack.kubectl("exec", NAME_NODE, "--", *HADOOP, "dfsadmin", "-report")
        assert "Live datanodes (2)" in said
