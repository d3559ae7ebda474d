"""The password of a database's user, replaced as docs/troubleshooting.md says."""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDone

from harness.programs import ProgramError, run
from harness.stack import UP_SECONDS, Stack
from tests.documents import block

_TELL = {
    "postgres": block("docs/troubleshooting.md, Replace a password, 1"),
    "mysql": block("docs/troubleshooting.md, Replace a password, 2"),
}


def assert_can_be_replaced(stack: Stack) -> None:
    """Replace the password, and tell the database while `up` waits for it."""
    name = f"{stack.database.name}-password"
    stack.secrets |= {f"{name}, replaced": stack.generated_secrets()[name]}
    (urn,) = (one["urn"] for one in stack.noted() if one["urn"].endswith(f"::{name}"))
    tell = _TELL[stack.database.name].replace("-n mlflow ", f"-n {stack.namespace} ")
    with ThreadPoolExecutor(1) as pool:
        up = pool.submit(stack.change, "up", "--replace", urn)
        for _ in range(UP_SECONDS // 5):
            try:
                up.result(timeout=5)
                break
            except NotDone:
                _run(tell, stack)
    up.result()
    stack.change("preview", "--expect-no-changes")
    assert stack.generated_secrets()[name] != stack.secrets[f"{name}, replaced"]


def _run(tell: str, stack: Stack) -> None:
    """Run the command; in the old pod it sets the old password, and between both it fails."""
    try:
        run(["bash", "-euo", "pipefail", "-c", tell], stack.environment, seconds=60)
    except ProgramError as error:
        print(error)
