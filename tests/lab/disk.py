"""A small disk of a test's own, which may be filled."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path | None]:
    """A tmpfs at a folder, and a file for ballast in it; None where none can be mounted (Linux, root)."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "qudao", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder / "ballast"
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path, size: int) -> None:
    """Write so many bytes, or as many as there is room for."""
    with file.open("wb", buffering=0) as out, suppress(OSError):  # others write as well: full is full
        while size > 0:
            size -= out.write(b"\0" * min(size, 1 << 20))
