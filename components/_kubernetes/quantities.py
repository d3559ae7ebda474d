"""Quantities of Kubernetes as numbers."""

import re
from decimal import Decimal

# Without exponents: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITY = re.compile(r"(?P<number>[0-9]{1,18}(\.[0-9]{1,9})?)(?P<unit>m|[kMGTPE]|[KMGTPE]i)?")
_UNITS = {
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate(["", *"kMGTPE"])},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
}


def amount(quantity: object) -> Decimal | None:
    """Return a quantity such as ``8Gi`` as a number; None if the value is no quantity."""
    match = _QUANTITY.fullmatch(quantity) if isinstance(quantity, str) else None
    return Decimal(match["number"]) * _UNITS[match["unit"] or ""] if match else None
