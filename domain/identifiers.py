"""Ids come from other systems; here is how they are bounded and written in subjects, keys and paths."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Annotated

from msgspec import Meta

ID_BYTES_MAX = 128

# The pattern is documentation: a regular expression at every id would cost more than the rest of decoding.
# `catalogue.read` enforces it where a body has bytes that could break it.
Id = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=ID_BYTES_MAX,
        description="An id of the publisher's own system: 1 to 128 bytes of UTF-8, no control characters.",
        extra_json_schema={"pattern": r"^[^\u0000-\u001f\u007f]+$"},
        extra={"id": True},
    ),
]

NO_DEALER = "_"

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_ESCAPED = re.compile(rb"=([0-9A-F]{2})")


def escape(identifier: str) -> str:
    """Write an id as one token of a NATS subject, a KV key or a URL path.

    Every byte outside `A-Z a-z 0-9 _ -` becomes `=XX`, and a lone `_` becomes `=5F`, because that token means
    "no dealer". `unescape` gives back exactly what went in.
    """
    if identifier == NO_DEALER:
        return "=5F"
    if _PLAIN.fullmatch(identifier):
        return identifier
    return "".join(
        chr(byte) if _PLAIN.fullmatch(chr(byte)) else f"={byte:02X}" for byte in identifier.encode()
    )


def unescape(token: str) -> str:
    """Read an id back from its token; raise ValueError where `escape` could not have written it."""
    identifier = token
    if "=" in token:
        identifier = _ESCAPED.sub(lambda m: bytes([int(m[1], 16)]), token.encode()).decode()
    if escape(identifier) != token:
        raise ValueError(f"{token!r} is not an escaped id")
    return identifier


def flaw(identifier: str) -> str | None:
    """Say what is wrong with an id, or None."""
    if not identifier or len(identifier.encode("utf-8", "replace")) > ID_BYTES_MAX:
        return f"must be 1 to {ID_BYTES_MAX} bytes of UTF-8"
    if _CONTROL.search(identifier):
        return "must not contain control characters or lone surrogates"
    return None


def digest(*parts: str) -> int:
    """A 63-bit fingerprint of a tuple of ids, fit for an integer primary key."""
    # Ids hold no control characters, so the separator keeps ("a", "bc") and ("ab", "c") apart.
    return int.from_bytes(blake2b("\x1f".join(parts).encode(), digest_size=8).digest(), "big") >> 1
