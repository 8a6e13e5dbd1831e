"""Events for the log, of no meaning but their number."""

from __future__ import annotations

from infra.append import Outgoing, message_id


def outgoing(number: int) -> Outgoing:
    body = b'{"id":"%d","pad":"%s"}' % (number, b"x" * 300)
    return Outgoing(f"channel.orders.D{number % 7}", body, message_id("erp", str(number), body))


def numbered(first: int, last: int) -> list[Outgoing]:
    return [outgoing(number) for number in range(first, last + 1)]
