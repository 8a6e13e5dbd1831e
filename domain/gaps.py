"""Gaps of the log: messages that are lost, and that a person decided to go on without."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct

from domain.catalogue import fact
from domain.envelope import Payload
from domain.identifiers import Id
from domain.texts import Text

LogSequence = Annotated[int, Meta(ge=1, le=2**63 - 1, description="A sequence of the log.")]


class Gap(Struct, frozen=True, order=True, gc=False):
    """Sequences of the log from first to last, both missing."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@fact("log.gap_accepted.v1", families=("decisions",))
class LogGapAccepted(Payload, frozen=True, kw_only=True):
    """Messages of the log are lost, and the book goes on without them; every later answer says so."""

    gap: Id
    first: LogSequence
    last: LogSequence
    reason: Text

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError("`last` must not be before `first`")


def covered(gaps: Iterable[Gap], first: int, last: int) -> bool:
    """Whether every sequence from first to last lies in a gap."""
    for gap in sorted(gaps):
        if gap.first <= first <= gap.last:
            first = gap.last + 1
    return first > last
