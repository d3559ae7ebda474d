"""The lab's own commands: `python -m lab start|lose|stop|delete|status|env`."""

import argparse
import shlex
import sys

import lab
from lab import node
from lab.machines import MACHINES
from lab.progress import LabError, say


def main() -> int:
    """Do what the command line asks; say in one line why it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m lab", description=lab.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="start the nodes, or what part of them does not run")
    numbers = range(1, len(MACHINES) + 1)
    how_many = "how many nodes; by default, as many as the last start was asked for, or 1"
    start.add_argument("--nodes", type=int, choices=numbers, help=how_many)
    lose = commands.add_parser("lose", help="kill all of a further node, and remove its volumes")
    lose.add_argument("node", choices=[machine.node for machine in MACHINES[1:]])
    commands.add_parser("stop", help="end the nodes; their data, images and volumes stay")
    commands.add_parser("delete", help="end the nodes and remove their data")
    commands.add_parser("status", help="tell how the nodes are; fails when one is not ready")
    commands.add_parser("env", help="print exports for a shell: eval $(python -m lab env)")
    try:
        return _run(parser.parse_args())
    except (LabError, OSError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; the same command takes it up again")
        return 130


def _run(arguments: argparse.Namespace) -> int:
    command = arguments.command
    if command == "status":
        for name, state in node.status():
            print(f"{name:<24} {state}")
        return 0 if node.ready() else 1
    if command == "env":
        lab.prepare()
        for name, value in lab.environment().items():
            print(f"export {name}={shlex.quote(value)}")
        return 0
    if command == "start":
        node.start(arguments.nodes)
    elif command == "lose":
        node.lose(arguments.node)
    else:
        {"stop": node.stop, "delete": node.delete}[command]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
