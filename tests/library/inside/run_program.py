"""Run the Pulumi program of the current folder under mocks; print what it makes, as JSON.

Runs where the wheel is installed, and imports nothing of this repository. The arguments are the
program's settings, `<key>=<value>`.
"""

import json
import runpy
import sys

import pulumi
import pulumi.runtime


class Mocks(pulumi.runtime.Mocks):
    """Answers like providers, and keeps the type and the inputs of each resource by name."""

    def __init__(self) -> None:
        self.resources: dict[str, tuple[str, dict[str, object]]] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, object]]:
        name = f"{args.typ} {args.name}"
        if name in self.resources:
            raise AssertionError(f"the engine would refuse a second {name}")
        self.resources[name] = (args.typ, args.inputs)
        computed = {"result": "generated"} if args.typ.startswith("random:") else {}
        return f"{args.name}-id", {**args.inputs, **computed}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, object]:
        raise AssertionError(f"the program asks for {args.token}")


def main() -> None:
    """Run the program until nothing is outstanding."""
    mocks, exports = Mocks(), {}
    pulumi.runtime.set_mocks(mocks, project="example", stack="dev", preview=False)
    config = dict(argument.split("=", 1) for argument in sys.argv[1:])
    pulumi.runtime.set_all_config({f"example:{key}": value for key, value in config.items()})

    @pulumi.runtime.test
    def program() -> object:
        export = pulumi.export
        pulumi.export = exports.__setitem__
        try:
            runpy.run_path("__main__.py", run_name="__main__")
        finally:
            pulumi.export = export
        return pulumi.Output.all(**exports).apply(exports.update)

    program()
    print(json.dumps({"resources": mocks.resources, "exports": exports}))


if __name__ == "__main__":
    main()
