"""Runs a Pulumi program inside the project's own Python, as pulumi-language-python-exec does.

`pulumi.RunError` ends it with that one line, anything else with the program's own traceback.
"""

import asyncio
import json
import logging
import os
import runpy
import signal
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pulumi
import pulumi.runtime

ALREADY_SHOWN = 32  # tells the language host that the user has read what went wrong


def _program_traceback() -> str:
    """Format the current exception from the program's first frame on."""
    files = [Path(frame.filename).name for frame in traceback.extract_tb(sys.exc_info()[2])]
    first = files.index("__main__.py") if "__main__.py" in files else 0
    return traceback.format_exc(limit=first - len(files))


def main() -> int:
    """Run the program given as second argument; the first says where the engine is."""
    # The engine stops a program when its own work has failed, and says why by itself.
    signal.signal(signal.SIGINT, lambda *_: os._exit(ALREADY_SHOWN))
    settings, program = json.loads(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[2:]
    pulumi.runtime.set_all_config(
        pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env()
    )
    pulumi.runtime.configure(pulumi.runtime.Settings(**settings))
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # futures nobody awaits after a failure
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_default_executor(ThreadPoolExecutor(max_workers=4 * max(settings["parallel"], 1)))

    def run() -> None:
        runpy.run_path(program, run_name="__main__")

    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(run))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    except Exception:
        pulumi.log.error(f"Program failed with an unhandled exception:\n{_program_traceback()}")
        return ALREADY_SHOWN
    return 0


if __name__ == "__main__":
    sys.exit(main())
