"""The stack on MySQL and HDFS, by two settings: every fault, and what is of each alone."""

from harness import clients
from harness.backend_stores import MYSQL
from harness.stack import Stack
from tests.e2e.support import garbage_collection
from tests.e2e.support.artifact_stores import HDFS
from tests.e2e.support.of_hdfs import OfHdfs
from tests.e2e.support.of_mysql import OfMysql
from tests.e2e.support.store_pair import Pair


# pytest runs the tests of the last class first. Those of HDFS leave a second DataNode.
class TestOnMysqlAndHdfs(OfHdfs, OfMysql, Pair):
    database, store = MYSQL, HDFS
    many_faults = True

    def test_what_was_deleted_can_be_removed_for_good(
        self, stack: Stack, machine: clients.Machine
    ) -> None:
        garbage_collection.assert_collects(stack, machine)
