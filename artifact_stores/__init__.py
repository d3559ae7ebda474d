"""The artifact stores that a stack can have, one module for each choice of the setting.

The module ``existing_hdfs`` is the choice ``mlflow:artifactStore existing-hdfs``. Whatever the
program has to know of a store alone is in the store's module.
"""

from importlib import import_module
from pkgutil import iter_modules

from artifact_stores._choice import Choice


def _found() -> dict[str, Choice]:
    """Return the choice of each module.

    Raises:
        TypeError: if a module has none.
    """
    found: dict[str, Choice] = {}
    for module in iter_modules(__path__):
        if not module.name.startswith("_"):
            choice: object = getattr(import_module(f"{__name__}.{module.name}"), "CHOICE", None)
            if not isinstance(choice, Choice):
                raise TypeError(f"{__name__}.{module.name}: CHOICE is missing")
            found[module.name.replace("_", "-")] = choice
    return dict(sorted(found.items(), key=lambda one: (one[1].rank, one[0])))


CHOICES = _found()
"""The choices by the texts of ``mlflow:artifactStore``."""
