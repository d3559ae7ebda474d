"""Calls of an artifact store that may be silent: stopped, or cut off without a word.

A slow answer and no answer look alike. So after some seconds the store is asked for something
small. If the store does not answer that either, the call is given up. MLflow's clients then get 503
within ten seconds, and repeat the request.
"""

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

T = TypeVar("T")

UNASKED_SECONDS = 4.0
"""How long a call may take before the store is asked whether it answers at all, in seconds."""
ANSWER_SECONDS = 4.0
"""How long the store may take for that answer, in seconds."""


class SilentError(Exception):
    """The store did not answer."""

    def __init__(self) -> None:
        super().__init__(f"no answer within {UNASKED_SECONDS + ANSWER_SECONDS:.0f} s")


def start(call: Callable[..., T], *arguments: Any) -> "Future[T]":
    """Call in a thread that can be left behind, because no thread can be ended."""
    answer: Future[T] = Future()
    answer.set_running_or_notify_cancel()

    def run() -> None:
        try:
            answer.set_result(call(*arguments))
        except Exception as error:
            answer.set_exception(error)
        except BaseException as error:  # a panic in Rust is a BaseException
            answer.set_exception(RuntimeError(str(error)))

    threading.Thread(target=run, daemon=True).start()
    return answer


def answered(alive: Callable[[], object], call: Callable[..., T], *arguments: Any) -> T:
    """Return the answer of a call.

    Args:
        alive: asks the store for something small, and raises if the store does not answer.
        call: the call.
        arguments: what the call is given.

    Raises:
        SilentError: if the store does not answer.
    """
    answer = start(call, *arguments)
    wait([answer], UNASKED_SECONDS)
    while not answer.done():
        asked = start(alive)
        waited: list[Future[Any]] = [asked, answer]
        wait(waited, ANSWER_SECONDS, FIRST_COMPLETED)
        if not answer.done() and not (asked.done() and asked.exception() is None):
            raise SilentError
        wait([answer], UNASKED_SECONDS)
    return answer.result()
