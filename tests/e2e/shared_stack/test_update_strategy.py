"""Jobs can be switched on in a stack that is up: Kubernetes takes the other kind of update."""

import json

from harness.stack import Stack


def test_a_server_that_was_rolled_can_be_recreated(stack: Stack) -> None:
    """The rolling update's own fields must go with it, or the API server refuses the change."""
    found = stack.kubectl.json("get", "deployment", "mlflow")
    strategies = [{"type": "Recreate"}, found["spec"]["strategy"]]
    assert strategies[1]["type"] == "RollingUpdate"
    for strategy in strategies:
        changed = {
            "apiVersion": found["apiVersion"],
            "kind": found["kind"],
            "metadata": {"name": "mlflow"},
            "spec": {key: found["spec"][key] for key in ("replicas", "selector", "template")}
            | {"strategy": strategy},
        }
        said = stack.kubectl(
            *("apply", "--server-side", "--dry-run=server", "--field-manager=mlflow-stack"),
            *("--force-conflicts", "--filename=-", "--output=json"),
            stdin=json.dumps(changed),
        )
        assert json.loads(said)["spec"]["strategy"] == strategy
