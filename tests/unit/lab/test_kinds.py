"""Kinds can be decoded by several threads at once, as the lab's controllers do."""

import subprocess
import sys

from lab import paths

# In a process of its own: what is learnt once stays learnt, and what goes wrong is a crash.
DECODE = """
import sys, threading
import msgspec
from lightkube.resources.core_v1 import PersistentVolume, PersistentVolumeClaim, Secret, Service
from lightkube.resources.networking_v1 import Ingress
from lab import kinds

sys.setswitchinterval(1e-6)
WATCHED = (PersistentVolume, PersistentVolumeClaim, Secret, Service, Ingress)
kinds.prepare(*WATCHED)
gate = threading.Barrier(len(WATCHED))
decoded = []

def decode(kind):
    gate.wait()
    decoded.append(msgspec.json.decode(b'{"metadata": {"name": "x"}}', type=kind).metadata.name)

threads = [threading.Thread(target=decode, args=(kind,)) for kind in WATCHED]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(decoded.count("x"))
"""


def test_threads_decode_prepared_kinds() -> None:
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", DECODE],
            cwd=paths.CLONE,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout.strip()) == (0, "5"), done.stderr
