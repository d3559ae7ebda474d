"""Pulumi plugins that package registries do not have: the Python language host, and random.

They have the functions of the official plugins that this repository's program uses, and no others.
"""

import os
import signal
import threading
import time


def interrupt_when_orphaned() -> None:
    """Interrupt this plugin when its engine is gone. A killed engine does not do so itself."""
    engine = os.getppid()

    def watch() -> None:
        while os.getppid() == engine:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
