"""The hash chain over the log: proof that nothing was altered, left out or put in between."""

from __future__ import annotations

from hashlib import sha256

START = bytes(32)


def leaf(sequence: int, recorded_ns: int, subject: str, body: bytes) -> bytes:
    """SHA-256(0x00 ‖ sequence ‖ log timestamp ‖ subject ‖ 0x00 ‖ body), numbers as 8 bytes, big-endian.

    The zero byte, which no subject can hold, keeps a subject and a body from trading letters.
    """
    return sha256(
        b"\x00%b%b%b\x00%b"
        % (sequence.to_bytes(8, "big"), recorded_ns.to_bytes(8, "big"), subject.encode(), body)
    ).digest()


def gap_leaf(first: int, last: int) -> bytes:
    """What stands in the chain for messages that are lost: SHA-256(0x02 ‖ first ‖ last)."""
    return sha256(b"\x02%b%b" % (first.to_bytes(8, "big"), last.to_bytes(8, "big"))).digest()


def link(chain: bytes, leaf: bytes) -> bytes:
    """chain(n) = SHA-256(chain(n-1) ‖ leaf(n)); chain(0) is 32 zero bytes."""
    return sha256(chain + leaf).digest()
