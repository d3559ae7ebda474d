"""Pulumi plugins that package registries do not have: the Python language host, and random.

They match what the official plugins show for what this repository's program uses, and no more.
"""

import os
import signal
import threading
import time


def interrupt_when_orphaned() -> None:
    """Interrupt this plugin when its engine is gone: a killed engine interrupts nobody."""
    engine = os.getppid()

    def watch() -> None:
        while os.getppid() == engine:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
