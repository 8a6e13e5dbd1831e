"""`make simulate`: run seeds, say which of them break a law and how to run one again."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.simulation.run import World, empty_disk

MEMORY = Path("/dev/shm")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--replay", type=int, help="run one seed and say what it did")
    chosen = parser.parse_args()
    first, count = (chosen.first, chosen.seeds) if chosen.replay is None else (chosen.replay, 1)
    failed = 0
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        empty = empty_disk(Path(folder))
        for seed in range(first, first + count):
            world = World(seed, empty)
            try:
                world.run()
            except Exception:
                failed += 1
                said = traceback.format_exc() if chosen.replay is not None else traceback.format_exc(0)
                print(f"seed {seed}: {', '.join(world.steps)}\n{said}")
                print(f"again: python -m tests.simulation --replay {seed}", flush=True)
    minutes = (time.perf_counter() - began) / 60
    print(f"{count:,} seeds, {failed:,} failed, {count / minutes:,.0f} a minute")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
