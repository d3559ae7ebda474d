"""The bytes of uploads that wait for the store: in memory, or in /tmp."""

import asyncio
import os
from contextlib import ExitStack, closing
from functools import partial

import pytest
from mlflow_kubernetes.artifacts import streams
from mlflow_kubernetes.artifacts.spool import Spool

MIB = 1024 * 1024
CHUNK = os.urandom(64 * 1024)


async def filled(spool: Spool, size: int) -> bytes:
    """Add chunks, and return all that was added."""
    count = size // len(CHUNK)
    for _ in range(count):
        await spool.add(CHUNK)
    return CHUNK * count


@pytest.mark.parametrize(("size", "on_disk"), [(MIB, False), (3 * MIB, True)])
def test_bytes_that_are_few_wait_in_memory(size: int, on_disk: bool) -> None:
    with closing(Spool(MIB)) as spool:
        content = asyncio.run(filled(spool, size))
        assert (spool._file is not None) == on_disk
        for _ in range(2):
            file = spool.rewound()
            # Senders ask for less than a block, and get a block.
            assert b"".join(iter(partial(file.read, 1000), b"")) == content


def test_what_waits_in_memory_is_less_when_other_transfers_are_under_way() -> None:
    with closing(Spool(16 * MIB)) as spool, ExitStack() as others:
        asyncio.run(filled(spool, 4 * MIB))
        assert spool._file is None
        for _ in range(8):
            others.enter_context(streams.transfer())
        spool.write(CHUNK)
        assert spool._file is not None
        assert spool._waiting.getbuffer().nbytes == 0
        assert spool.rewound().read() == CHUNK * 65
