"""Progress of long work, told on stderr where somebody watches."""

from __future__ import annotations

import sys
import time

TELL_SECONDS = 0.5


class Telling:
    """Overwrites one line, at most twice a second; silent where stderr is no terminal."""

    def __init__(self) -> None:
        self._watched = sys.stderr.isatty()
        self._told = time.monotonic()

    def __call__(self, what: str, done: int, last: int) -> None:
        if not self._watched:
            return
        if done >= last:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._told > TELL_SECONDS:
            self._told = time.monotonic()
            print(f"\r\033[K{what} {done:,} of {last:,}", end="", file=sys.stderr, flush=True)
