"""The same events on both databases: what can be asked of their views, and what the sites over them answer."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from litestar import Litestar
from litestar.testing import TestClient

from api.views import View
from infra.engine import Engine
from infra.message import Message
from tests.lab.databases import Files, PostgreSQL
from tests.lab.folding import engine_on, shut
from tests.lab.site import site

AT = "2025-03-15T04:00:00Z"
KINDS = ("text", "decimal", "instant", "day")  # an integer sorts as an instant is stored
BATCH = 500

Engines = tuple[Engine, Engine]
Sides = tuple[TestClient[Litestar], TestClient[Litestar]]


@contextmanager
def folded_on_both(files: Files, server: PostgreSQL, log: Sequence[Message]) -> Iterator[Engines]:
    """Engines on SQLite and on PostgreSQL that have folded a log."""
    both = engine_on(files.new()), engine_on(server.new())
    for engine in both:
        for first in range(0, len(log), BATCH):
            engine.apply(log[first : first + BATCH])
        engine.sync()
    yield both
    for engine in both:
        shut(engine)


@contextmanager
def sites_over(engines: Engines) -> Iterator[Sides]:
    """The API over each."""
    with ExitStack() as open:
        one, other = [open.enter_context(site(engine.database.url)) for engine in engines]
        yield one, other


def questions(view: View, at: str = AT, kinds: Container[str] = KINDS) -> Iterator[str]:
    """Pages in every order there is by fields of these kinds, what follows them, and sums in every group there is."""
    if view.computed is not None:
        yield f"/{view.name}?limit=1000&valid_at={at}"
    if view.always_computed:
        return  # the database has been asked for all of it
    yield f"/{view.name}?limit=50"
    numbers = [field.name for field in view.shown if field.numeric and field.name not in view.key]
    for number, field in enumerate(view.shown):
        if field.kind in kinds:
            yield f"/{view.name}?limit=10&sort={'-' * (number % 2)}{field.name}"
        if field.kind in ("text", "boolean", "day") and (numbers or field.kind in kinds):
            yield f"/{view.name}?limit=20&by={field.name}&sum={','.join(numbers)}"


def answers(client: TestClient[Litestar], question: str) -> list[Any]:
    """An answer, and the page after it."""
    first = client.get(question, headers={"Accept": "application/json"})
    assert first.status_code == 200, first.text
    if first.json()["next"] is None:
        return [first.json()]
    following = client.get(f"{question}&cursor={first.json()['next']}")
    return [first.json(), following.json()]
