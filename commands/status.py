"""Show what runs: `make status`."""

from commands import stack
from commands._main import capture, main


def command() -> None:
    """Print the cluster, the stack's outputs, its pods and its volumes."""
    chosen = stack.chosen()
    found = chosen.cluster
    if not chosen.exists():
        print(f"Nothing is up: stack {chosen.name} is not on {found.describe()}.")
        return
    if not found.running():
        print(f"Stack {chosen.name} is on {found.describe()}, which is stopped: `make up`.")
        return
    print(f"Stack {chosen.name} on {found.describe()}\n")
    for name, value in chosen.outputs().items():
        print(f"  {name:<26}{value}")
    namespace = str(stack.settings(chosen.name)["namespace"])
    for kinds in ("pods", "persistentvolumeclaims"):
        shown = capture(["kubectl", "get", kinds, f"--namespace={namespace}"], found.environment)
        print(f"\n{shown.stdout or shown.stderr}", end="")


if __name__ == "__main__":
    main(command)
