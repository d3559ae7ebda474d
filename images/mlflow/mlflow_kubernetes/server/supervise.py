"""Keep the server's workers alive, in as little memory as a Python takes.

Arguments: the process numbers of the workers, which are children of this process, with commas
between them; then those of workers.py, which starts another one.
"""

import contextlib
import os
import signal
import sys
import time

SOCKET = "MLFLOW_KUBERNETES_SOCKET"
"""Names the file descriptor on which all workers listen."""
# If workers end at once, the starts of new ones must not use a whole core.
_PAUSE_SECONDS = 1
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Replace workers that end, until told to stop; then wait for those that are left."""
    workers = {int(number) for number in sys.argv[1].split(",")}
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGTERM)

    for number in _SIGNALS:
        signal.signal(number, stop)
    while workers:
        ended, status = os.wait()
        if ended not in workers:
            continue  # an orphan of somebody else, which process 1 inherits
        workers.remove(ended)
        if not stopping:
            code = os.waitstatus_to_exitcode(status)
            print(f"worker {ended} ended ({code}): another one starts", file=sys.stderr, flush=True)
            time.sleep(_PAUSE_SECONDS)
        # A signal during the start would not reach the new worker.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        if not stopping:
            workers.add(_start())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _start() -> int:
    command = [sys.executable, "-m", "mlflow_kubernetes.server.workers", *sys.argv[2:]]
    return os.posix_spawn(command[0], command, os.environ, setsigmask=())


if __name__ == "__main__":
    main()
