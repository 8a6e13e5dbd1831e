"""A simulated year as messages of a log, and a database folded from it, opened as the API opens it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from api.past import Replaying
from api.reading import Opened
from cli.simulation import events
from domain.event_types import CATALOGUE
from infra.message import Message
from projections.registry import PROJECTIONS
from tests.lab.databases import Where, address
from tests.lab.folding import RECORDED
from tests.lab.site import fold


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
