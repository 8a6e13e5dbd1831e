"""What can be asked of a view, and what a site answers."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

from litestar import Litestar
from litestar.testing import TestClient

from api.views import View

AT = "2025-03-15T04:00:00Z"
KINDS = ("text", "decimal", "instant", "day")  # an integer sorts as an instant is stored


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
