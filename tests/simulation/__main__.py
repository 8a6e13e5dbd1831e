"""`make simulate`: run seeds, say which of them break a law and how to run one again."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation.run import World, empty_disk

MEMORY = Path("/dev/shm")
AT_ONCE = 500  # seeds that a process takes between two reports


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--replay", type=int, help="run one seed and say what it did")
    chosen = parser.parse_args()
    if chosen.replay is not None:
        failures = failing([chosen.replay])
        print("\n".join(failures) or f"seed {chosen.replay}: no law is broken")
        return 1 if failures else 0
    failed = 0
    began = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for failures in pool.map(failing, shares(chosen.first, chosen.seeds)):
            failed += len(failures)
            for failure in failures:
                print(failure, flush=True)
    minutes = (time.perf_counter() - began) / 60
    print(f"{chosen.seeds:,} seeds, {failed:,} failed, {chosen.seeds / minutes:,.0f} a minute")
    return 1 if failed else 0


def shares(first: int, count: int) -> Iterator[range]:
    """The seeds, in shares."""
    for begin in range(first, first + count, AT_ONCE):
        yield range(begin, min(begin + AT_ONCE, first + count))


def failing(seeds: Iterable[int]) -> list[str]:
    """Run seeds on a disk of their own: what those did that break a law."""
    found = []
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        empty = empty_disk(Path(folder))
        for seed in seeds:
            world = World(seed, empty)
            try:
                world.run()
            except Exception:
                steps = ", ".join(world.steps)
                again = f"again: python -m tests.simulation --replay {seed}"
                found.append(f"seed {seed}: {steps}\n{traceback.format_exc()}\n{again}")
    return found


if __name__ == "__main__":
    sys.exit(main())
