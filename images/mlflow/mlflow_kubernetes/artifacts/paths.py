"""Paths under which an artifact can be stored: those that MLflow does not change.

MLflow decodes a path until nothing is left to decode, so that `a%41` becomes `aA`. MLflow refuses a
`#` as an attack (mlflow/mlflow#22165). MLflow's Python client puts a path into URLs without
quoting, so that the path ends at a `#` or a `?`.
"""

import re

from mlflow.exceptions import MlflowException
from mlflow.utils.uri import validate_path_is_safe

# Of a key in S3, and of a file's name in Linux and HDFS.
_LONGEST, _LONGEST_NAME = 1024, 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def storable(path: str) -> str:
    """Return a path, or refuse it with MlflowException, which says why."""
    if len(path.encode()) > _LONGEST:
        raise refused(f"it has more than {_LONGEST} bytes")
    for name in path.split("/"):
        if name in ("", ".", ".."):
            raise refused(f"{path!r} has a part {name!r}, which names no file and no folder")
        if len(name.encode()) > _LONGEST_NAME:
            raise refused(f"{name!r} has more than {_LONGEST_NAME} bytes")
        if cut := {"#", "?"} & set(name):
            raise refused(f"{name!r} has a {min(cut)!r}, at which MLflow's client cuts names")
        if _CONTROL.search(name):
            raise refused(f"{name!r} has a control character")
        try:
            read = validate_path_is_safe(name)
        except (MlflowException, ValueError):
            raise refused(f"{name!r} is a path of its own to MLflow") from None
        if read != name:
            raise refused(f"{name!r} is {read!r} to MLflow, which decodes names")
    return path


def refused(reason: str) -> MlflowException:
    """Return what a path is refused with."""
    return MlflowException.invalid_parameter_value(f"Invalid path: {reason}; rename the file")
