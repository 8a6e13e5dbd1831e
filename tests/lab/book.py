"""A channel told in events on a scratch database, and its computed views asked at any instant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from api.moment import Moment
from infra.message import Message
from projections.projection import Projection
from projections.registry import PROJECTIONS
from projections.rows import Row, Tables
from tests.lab.databases import Where
from tests.lab.events import NOON, log
from tests.lab.folding import engine_on, shut

R = TypeVar("R", bound=Row)
LATER = NOON + timedelta(days=365)


class Book:
    """Takes events in and answers; one engine, so that telling more rebuilds nothing."""

    def __init__(self, where: Where, projections: Sequence[Projection] = PROJECTIONS) -> None:
        self.engine = engine_on(where, projections)

    def say(self, *events: bytes) -> None:
        """Publish events; all must be taken."""
        self.take(log(events, after=self.engine.position.sequence))

    def take(self, messages: Sequence[Message]) -> None:
        """Fold messages as they are."""
        self.engine.apply(messages)
        self.engine.sync()
        refused = self.engine.database.rows("SELECT * FROM rejections")
        assert not refused, refused

    def ask(
        self,
        answer: Callable[[Tables, datetime, Mapping[str, Sequence[Any]]], Iterable[R]],
        at: datetime = LATER,
        **filters: Sequence[Any],
    ) -> list[R]:
        """The rows of a computed view at an instant."""
        with self.engine.database.engine.connect() as connection:
            return list(answer(Moment(connection, tuple(filters)), at, filters))

    def rows(self, row: type[R], **wanted: Sequence[Any]) -> list[R]:
        """Stored rows, or rows of an SQL view."""
        with self.engine.database.engine.connect() as connection:
            return list(Moment(connection, ()).select(row, **wanted))


def book(where: Where, projections: Sequence[Projection] = PROJECTIONS) -> Iterator[Book]:
    """A book that is closed in the end."""
    found = Book(where, projections)
    yield found
    shut(found.engine)
