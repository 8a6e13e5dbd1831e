"""Child processes that end with their parent, even where it is killed (on Linux)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

# Linux only: the kernel ends the child when its parent is gone, even by SIGKILL. `preexec_fn` would do the
# same but forks Python code inside a threaded process; replacing a fresh interpreter by the child does not.
FOLLOW_PARENT = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)
if os.getppid() != int(sys.argv[1]): sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""

Output = IO[bytes] | int | None


def spawn(
    command: Sequence[str],
    *,
    output: Output = None,
    folder: Path | None = None,
    pass_fds: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, so that Ctrl-C reaches its parent alone.

    It gets SIGTERM when the *thread* that called this ends: call it from one that lives as long as the child.
    """
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", "-c", FOLLOW_PARENT, str(os.getpid()), *command]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=folder,
        env=environment,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
    )
