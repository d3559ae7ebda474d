"""uvicorn, with workers that are forked after the import of what they serve."""

import gc
import importlib
import multiprocessing
import os
import signal
import sys

import psycopg2  # noqa: F401 (like boto3 in s3.py: MLflow would import it in each worker)
import uvicorn._subprocess
import uvicorn.main
from sqlalchemy import orm


def main() -> None:
    """Take the arguments of uvicorn's own command."""
    importlib.import_module(sys.argv[-1].partition(":")[0])
    orm.configure_mappers()
    # A collection would write to all that was imported, and each worker would get its own copy.
    gc.collect()
    gc.freeze()
    # Workers must not take their parent's handlers for the signals that it ends them with.
    os.register_at_fork(after_in_child=_restore_signals)
    uvicorn._subprocess.spawn = multiprocessing.get_context("fork")  # type: ignore[assignment]
    uvicorn.main.main(prog_name="uvicorn")


def _restore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    main()
