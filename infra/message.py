"""One message of the log, as every reader hands it on."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, gc=False):
    """What the log keeps: bytes under a sequence, with the log's own clock."""

    sequence: int
    recorded: int  # the log's timestamp, nanoseconds since 1970 UTC
    subject: str
    body: bytes
