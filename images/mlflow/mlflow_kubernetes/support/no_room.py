"""A database, a store or /tmp without room, told in one line that no client repeats.

MLflow's clients repeat the statuses 408, 429, 500, 502, 503 and 504 for four minutes, and then show
the status alone (mlflow/utils/request_utils.py). They show an answer 507 (Insufficient Storage, RFC
4918) with its words at once.
"""

import errno
import logging

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_LIMIT_EXCEEDED, ErrorCode

NO_ROOM = int(RESOURCE_LIMIT_EXCEEDED)
"""MLflow's code for it; patches/bad_input.py gives the code the status 507."""
NAME = ErrorCode.Name(RESOURCE_LIMIT_EXCEEDED)
BEGIN = "No room is left"
"""How the line in the log begins; `make status` (commands/support/diagnose.py) looks for it."""
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL = "53100"
# https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html: ER_DISK_FULL,
# ER_RECORD_FILE_FULL. Others have the operating system's error in their text.
_MYSQL = frozenset({1021, 1114})
_SYSTEM = ("No space left on device", f"errno: {errno.ENOSPC} ", f"Got error {errno.ENOSPC} ")
_logger = logging.getLogger(__name__)


def of_database(error: BaseException) -> bool:
    """Say whether a database driver's error says that the database's volume is full."""
    if getattr(error, "pgcode", None) == _POSTGRESQL:
        return True
    # Clients of HDFS import this module too, and have no driver.
    if not type(error).__module__.startswith("pymysql."):
        return False
    code, *text = error.args or (0,)
    return code in _MYSQL or any(words in str(text) for words in _SYSTEM)


def of_system(error: BaseException) -> bool:
    """Say whether an error of the operating system says that a file system is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def failure(place: str, reason: object) -> MlflowException:
    """Return what to raise where ``place``, such as ``the database``, is full, and log it."""
    message = f"{BEGIN} in {place}: {reason}"
    _logger.error(message)
    return MlflowException(message, NO_ROOM)
