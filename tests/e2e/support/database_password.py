"""The password of a database's user, replaced as docs/troubleshooting.md says."""

from harness.programs import run
from harness.stack import Stack
from tests.documents import block

_TELL = {
    "postgres": block("docs/troubleshooting.md, Replace a password, 1"),
    "mysql": block("docs/troubleshooting.md, Replace a password, 2"),
}


def assert_can_be_replaced(stack: Stack) -> None:
    """Replace the password, see the `up` fail, tell the database, and see the next one work."""
    name = f"{stack.database.name}-password"
    stack.secrets |= {f"{name}, replaced": stack.generated_secrets()[name]}
    (urn,) = (one["urn"] for one in stack.noted() if one["urn"].endswith(f"::{name}"))
    said = stack.change("up", "--replace", urn, check=False)
    assert "error: " in said
    assert "refuses: " in said, said
    tell = _TELL[stack.database.name].replace("-n mlflow ", f"-n {stack.namespace} ")
    run(["bash", "-euo", "pipefail", "-c", tell], stack.environment, seconds=60)
    stack.change("up")
    stack.change("preview", "--expect-no-changes")
    assert stack.generated_secrets()[name] != stack.secrets[f"{name}, replaced"]
