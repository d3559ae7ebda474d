"""The stack on MySQL and HDFS, by two settings, and the tests of each of the two alone."""

from pathlib import Path

import pytest

from harness import clients
from harness.backend_stores import MYSQL
from harness.stack import Stack
from tests.e2e.support import acknowledged
from tests.e2e.support.artifact_stores import HDFS
from tests.e2e.support.of_hdfs import OfHdfs
from tests.e2e.support.of_mysql import OfMysql
from tests.e2e.support.store_pair import Pair


# pytest runs the tests of the last class first. Those of HDFS leave a second DataNode.
class TestOnMysqlAndHdfs(OfHdfs, OfMysql, Pair):
    database, store = MYSQL, HDFS

    @pytest.mark.long
    def test_no_fault_of_the_backends_loses_anything(
        self, stack: Stack, machine: clients.Machine, tmp_path: Path
    ) -> None:
        acknowledged.assert_nothing_is_lost(stack, machine, tmp_path, acknowledged.of_backends)
