"""Ctrl-C and SIGTERM for what runs until it is stopped: the first ends it in order, the second at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stop(KeyboardInterrupt):
    """Somebody asked for an end. A KeyboardInterrupt, because asyncio lets nothing else out of any task."""


@contextmanager
def until_stopped(kill: Callable[[], None]) -> Iterator[None]:
    """Run the block until it ends or a signal ends it; a second signal calls `kill`."""
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            kill()
        else:
            asked = True
            raise Stop

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Stop:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
