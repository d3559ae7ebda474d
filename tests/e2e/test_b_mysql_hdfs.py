"""The same stack on MySQL and HDFS, by two settings."""

from tests.e2e.databases import MYSQL
from tests.e2e.pair import Pair
from tests.e2e.stores import HDFS


class TestOnMysqlAndHdfs(Pair):
    database, store = MYSQL, HDFS
