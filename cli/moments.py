"""Moments as flags name them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from domain.errors import QudaoError

T = TypeVar("T")


class MomentArgumentError(QudaoError):
    """The moment is not said so that it can be read."""

    code = "moment"


def read_moment(flag: str, read: Callable[[str], T], said: str | None) -> T | None:
    """What a flag says, where it is given. Raises MomentArgumentError naming the flag."""
    try:
        return None if said is None else read(said)
    except ValueError as error:
        raise MomentArgumentError(f"{flag} {error}") from None
