"""Keys of model providers are read with the former passphrase too, while a rotation is under way.

MLflow has one passphrase, and its own rotation asks for all servers to be stopped. Here servers
with the new passphrase start beside those with the former one, and what is stored is encrypted anew
when all are new (end_former.py).
"""

import os
from functools import cache
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.utils import crypto

from mlflow_kubernetes.support.former_keys import FormerKeys

_unwrap: Any = crypto.unwrap_dek
_former = FormerKeys.of(os.environ).passphrases
_versioned = list(zip(_former, range(len(_former), 0, -1), strict=True))


def install() -> None:
    """Put this function in the place of MLflow's, where there is a former passphrase."""
    if _former:
        crypto.unwrap_dek = _unwrap_with_any


def _unwrap_with_any(wrapped_dek: bytes, kek: bytes) -> bytes:
    try:
        return _unwrap(wrapped_dek, kek)  # type: ignore[no-any-return]
    except MlflowException:
        for passphrase, version in _versioned:
            try:
                return _unwrap(wrapped_dek, _derived(passphrase, version))  # type: ignore[no-any-return]
            except MlflowException:
                continue
        raise


@cache
def _derived(passphrase: str, version: int) -> bytes:
    """Return the key of a passphrase, which takes a processor half a second."""
    return crypto.KEKManager(passphrase, version).get_kek()
