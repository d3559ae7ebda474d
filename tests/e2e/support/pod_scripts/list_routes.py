"""Print every route of the application that the server in this pod serves, with its verbs."""

import json
import os
import re
from pathlib import Path

# As the server was told, and has told itself.
(server,) = [
    process
    for process in Path("/proc").glob("[0-9]*")
    if b"mlflow_kubernetes.server.supervise" in (process / "cmdline").read_bytes()
]
variables = (server / "environ").read_text().split("\0")
os.environ |= dict(one.split("=", 1) for one in variables if one)

from mlflow.server import app as flask  # noqa: E402
from mlflow.server.auth import create_app  # noqa: E402
from mlflow_kubernetes.patches import downloads, login  # noqa: E402
from mlflow_kubernetes.server import probes  # noqa: E402

downloads.install()
login.install_with_login()
routes: dict[str, set[str]] = {}
native = create_app()
found = [
    *(
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", one.rule), one.methods)
        for one in flask.url_map.iter_rules()
    ),
    *(
        (one.path, one.methods)
        for part in native.routes
        if hasattr(part, "effective_route_contexts")
        for one in part.effective_route_contexts()
    ),
]
for path, verbs in found:
    routes.setdefault(re.sub(r"{(\w+):\w+}", r"{\1}", path), set()).update(verbs)
liveness, readiness = probes.paths()
routes[readiness] = routes[liveness]
print(json.dumps({path: sorted(verbs) for path, verbs in sorted(routes.items())}))
