"""MLflow's ASGI application within what this package puts around it: for `uvicorn --factory`."""

import importlib
import os
import sys
from typing import Any

from mlflow.server import app as flask
from starlette.types import ASGIApp

from mlflow_kubernetes import contract
from mlflow_kubernetes.audit.layer import Audit
from mlflow_kubernetes.audit.routes import Routes
from mlflow_kubernetes.login import basic_auth
from mlflow_kubernetes.login.gate import Gate
from mlflow_kubernetes.patches.bad_input import BadInput
from mlflow_kubernetes.server.aside import Aside
from mlflow_kubernetes.server.below import Below
from mlflow_kubernetes.server.corrected import Corrected
from mlflow_kubernetes.server.hosts import Hosts
from mlflow_kubernetes.server.probes import Probes
from mlflow_kubernetes.server.refusals import Explained


def create() -> ASGIApp:
    """Return the application that the command line of uvicorn names last, with layers around it.

    A request passes them from the last to the first.
    """
    module, _, name = sys.argv[-1].partition(":")
    found: Any = getattr(importlib.import_module(module), name)
    mlflow = found() if "--factory" in sys.argv else found
    mlflow.add_middleware(BadInput)
    app: ASGIApp = Aside(mlflow, mlflow.routes)
    if basic_auth.configured():
        app = Gate(Explained(app))
    app = Hosts(Corrected(app))
    if contract.AUDIT_LOG in os.environ:
        # Around all layers that may refuse a request.
        app = Audit(app, Routes(mlflow.routes, flask.url_map))
    return Below(Probes(app))
