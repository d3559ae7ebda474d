"""MLflow's ASGI application within what this package puts around it: for `uvicorn --factory`."""

import importlib
import sys
from typing import Any

from starlette.types import ASGIApp

from mlflow_kubernetes import auth, gate
from mlflow_kubernetes.aside import Aside
from mlflow_kubernetes.gate import Gate
from mlflow_kubernetes.probes import Probes


def create() -> ASGIApp:
    """Return the application that the command line of uvicorn names last, with layers around it.

    A request passes them from the last to the first.
    """
    module, _, name = sys.argv[-1].partition(":")
    found: Any = getattr(importlib.import_module(module), name)
    mlflow = found() if "--factory" in sys.argv else found
    app: ASGIApp = Aside(mlflow, mlflow.routes)
    if auth.configured():
        gate.install()
        app = Gate(app)
    return Probes(app)
