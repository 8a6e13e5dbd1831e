"""A simulated year as messages of a log, and databases folded from events, opened as the API opens them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec

from api.past import Replaying
from api.query import parameters, read_query
from api.reading import Opened, read_page, shown
from api.views import views_of
from cli.simulation import events
from domain.event_types import CATALOGUE
from infra.documents import ROWS
from infra.message import Message
from infra.positions import INDEX
from projections.registry import PROJECTIONS
from tests.lab.databases import Where, address
from tests.lab.folding import RECORDED
from tests.lab.site import fold

VIEWS = views_of(PROJECTIONS, {INDEX: ROWS})


def simulated(seed: int, count: int) -> list[Message]:
    """The first so many events of a year, taken in one a second."""
    return [
        Message(number, RECORDED + number * 10**9, event.subject, event.body)
        for number, event in enumerate(islice(events(seed, events=count), count), 1)
    ]


def opened_on(where: Where, log: Sequence[Message]) -> Opened:
    """The database that these messages make."""
    fold(where, log)
    return Opened(address(where), Replaying(CATALOGUE, {p.name: p for p in PROJECTIONS}))


def answered(
    where: Where, log: Sequence[Message], question: str, now: datetime | None = None
) -> list[dict[str, Any]]:
    """Fold further messages, and read the rows of a view that is asked as it is over HTTP: `/orders?dealer=D1`."""
    opened = opened_on(where, log)
    try:
        name, _, said = question.removeprefix("/").partition("?")
        view = VIEWS[name]
        query = read_query(view, parameters(said.encode()))
        page = read_page(opened, view, query, now or datetime.now(UTC))
        return msgspec.json.decode(msgspec.json.encode(shown(page)), type=list[dict[str, Any]])
    finally:
        opened.close()
