"""The keys that a rotation replaced, with which values may still be encrypted."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from mlflow_kubernetes import contract

_NONE = '{"passphrases": [], "webhooks": []}'


class FormerKeys(NamedTuple):
    """The keys that were rotated, the newest first."""

    passphrases: list[str]
    """The last one has version 1, which MLflow adds to a passphrase when it derives a key."""
    webhooks: list[str]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "FormerKeys":
        """Return the keys that an environment names; none where it names none."""
        return cls(**json.loads(environment.get(contract.FORMER_KEYS) or _NONE))
