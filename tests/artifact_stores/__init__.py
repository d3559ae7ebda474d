"""What is tried with each choice of ``mlflow:artifactStore``: one module for each.

Data for the tests of all stores, which collect it from here. tests/unit/test_artifact_stores.py
fails where a store has no module.
"""

from importlib import import_module
from importlib.util import find_spec

from artifact_stores import CHOICES
from tests.artifact_stores._tried import Tried


def module(name: str) -> str:
    """Return the name of the module of a choice."""
    return f"{__name__}.{name.replace('-', '_')}"


TRIED: dict[str, Tried] = {
    name: import_module(module(name)).TRIED for name in CHOICES if find_spec(module(name))
}
"""What is tried, by the texts of ``mlflow:artifactStore``, in the order of the choices."""
