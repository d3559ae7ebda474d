"""The pairs that differ in one backend from those of shared_stack and test_mysql_and_hdfs.py."""

import pytest

from harness import clients
from harness.backend_stores import MYSQL, POSTGRES
from harness.stack import Stack
from tests.e2e.support import garbage_collection
from tests.e2e.support.artifact_stores import HDFS, MINIO
from tests.e2e.support.store_pair import Pair

pytestmark = pytest.mark.long


class TestOnPostgresAndHdfs(Pair):
    database, store = POSTGRES, HDFS

    def test_what_was_deleted_can_be_removed_for_good(
        self, stack: Stack, machine: clients.Machine
    ) -> None:
        garbage_collection.assert_collects(stack, machine)


class TestOnMysqlAndMinio(Pair):
    database, store = MYSQL, MINIO

    def test_what_was_deleted_can_be_removed_for_good(
        self, stack: Stack, machine: clients.Machine
    ) -> None:
        garbage_collection.assert_collects(stack, machine)
