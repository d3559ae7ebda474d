"""The pairs that differ in one backend from those of shared_stack and test_mysql_and_hdfs.py."""

import pytest

from harness.backend_stores import MYSQL, POSTGRES
from tests.e2e.support.artifact_stores import HDFS, MINIO
from tests.e2e.support.store_pair import Pair

pytestmark = pytest.mark.long


class TestOnPostgresAndHdfs(Pair):
    database, store = POSTGRES, HDFS


class TestOnMysqlAndMinio(Pair):
    database, store = MYSQL, MINIO
