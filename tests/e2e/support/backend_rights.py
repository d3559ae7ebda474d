"""The rights of the server's user and key in each backend, tried in the server's pod."""

import json
import re
from typing import Any

from harness.stack import Stack
from tests.e2e.support.server_pod import POD_SCRIPTS, SERVER

_SCRIPTS = POD_SCRIPTS / "rights"
# How each backend says that it is a matter of rights; anything else would be another failure.
DENIED = {
    "postgres": r'42501| *permission denied for database "\w+"\n.*',
    "mysql": "1044|1045|1142|1227",
    "minio": "AccessDenied|SignatureDoesNotMatch",
    "hdfs": r'RPCError\("org\.apache\.hadoop\.security\.AccessControlException", .*',
}


def assert_least(stack: Stack, backend: str) -> None:
    """Assert that the server can do what it needs in a backend, and nothing forbidden."""
    secrets = stack.generated_secrets()
    # Whoever may do everything makes what is tried on, and shows that it was well asked for.
    given: dict[str, Any] = {
        "mysql": {"ROOT_PASSWORD": secrets.get("mysql-root-password", "")},
        "minio": {"ROOT_PASSWORD": secrets.get("minio-root-password", "")},
        "hdfs": {"SUPERUSER": "hadoop"},
    }.get(backend, {})
    said = stack.kubectl.python(SERVER, _SCRIPTS / f"{backend}.py", **given)
    report = json.loads(said.splitlines()[-1])
    assert set(report["may"].values()) == {"done"}, report["may"]
    forbidden: dict[str, str] = report["may not"]
    print(backend, json.dumps(forbidden, indent=1))
    assert len(forbidden) >= 12
    denied = re.compile(DENIED[backend], re.DOTALL)
    allowed = {what: answer for what, answer in forbidden.items() if not denied.fullmatch(answer)}
    assert allowed == {}


def assert_holds_no_more(stack: Stack) -> None:
    """Assert that no secret of somebody else's is in the environment of the server's pod."""
    environment = stack.kubectl("exec", SERVER, "--", "env")
    held = {name for name, secret in stack.generated_secrets().items() if secret in environment}
    own = {f"{stack.database.name}-password", "mlflow-page-key", "mlflow-passphrase"}
    assert own <= held
    assert held <= own | {"minio-server-key"}
