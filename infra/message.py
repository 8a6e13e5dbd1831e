"""One message of the log, as every reader hands it on."""

from __future__ import annotations

import re

import msgspec

_ODD = re.compile(r"[\udc80-\udcff]")


def subject_text(raw: bytes) -> str:
    """A subject as text; a byte that is no UTF-8 is U+FFFD, as nats-server writes it in JSON.

    The server takes any bytes but blanks; whoever publishes such a subject must not stop who reads.
    """
    text = raw.decode(errors="surrogateescape")
    return text if text.isascii() else _ODD.sub("\ufffd", text)


class Message(msgspec.Struct, frozen=True, gc=False):
    """What the log keeps: bytes under a sequence, with the log's own clock."""

    sequence: int
    recorded: int  # the log's timestamp, nanoseconds since 1970 UTC
    subject: str
    body: bytes
