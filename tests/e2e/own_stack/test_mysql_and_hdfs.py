"""The stack on MySQL and HDFS, by two settings."""

from harness.backend_stores import MYSQL
from tests.e2e.support.artifact_stores import HDFS
from tests.e2e.support.store_pair import Pair


class TestOnMysqlAndHdfs(Pair):
    database, store = MYSQL, HDFS
    many_faults = True
