"""The lab's own commands: `python -m lab start|stop|delete|status|env`."""

import argparse
import shlex
import sys

import lab
from lab import node
from lab.progress import LabError, say


def main() -> int:
    """Do what the command line asks; say in one line why it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m lab", description=lab.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("start", help="start the node, or what part of it does not run")
    commands.add_parser("stop", help="end the node; its data, images and volumes stay")
    commands.add_parser("delete", help="end the node and remove its data")
    commands.add_parser("status", help="tell how the node is; fails when it is not ready")
    commands.add_parser("env", help="print exports for a shell: eval $(python -m lab env)")
    try:
        return _run(parser.parse_args().command)
    except (LabError, OSError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; the same command takes it up again")
        return 130


def _run(command: str) -> int:
    if command == "status":
        for name, state in node.status():
            print(f"{name:<24} {state}")
        return 0 if node.ready() else 1
    if command == "env":
        lab.prepare()
        for name, value in lab.environment().items():
            print(f"export {name}={shlex.quote(value)}")
        return 0
    {"start": node.start, "stop": node.stop, "delete": node.delete}[command]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
