"""The same stack on HDFS, by one setting, and what is HDFS's own."""

from tests.e2e.databases import POSTGRES
from tests.e2e.pair import Pair
from tests.e2e.stores import HDFS


class TestOnPostgresAndHdfs(Pair):
    database, store = POSTGRES, HDFS
