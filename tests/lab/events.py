"""Events in few words, as an ERP would publish them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.catalogue import TYPES
from domain.event_types import CATALOGUE
from domain.identifiers import escape
from infra.message import Message

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

_ids = itertools.count(1)


def body(
    type: str,
    *,
    id: str | None = None,
    source: str = "erp",
    time: datetime = NOON,
    subject: str | None = None,
    **data: Any,
) -> bytes:
    """A structured CloudEvent; `data`'s keys may end in `_` where Python has a keyword (`from_`)."""
    payload = {name.rstrip("_"): _plain(value) for name, value in data.items() if value is not None}
    entry = TYPES[type]
    return json.dumps(
        {
            "specversion": "1.0",
            "type": type,
            "source": source,
            "id": id or f"e{next(_ids)}",
            "subject": subject or payload[entry.document_field.rstrip("_")],
            "time": time.isoformat(),
            "data": payload,
        },
        ensure_ascii=False,
    ).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name.rstrip("_"): _plain(held) for name, held in value.items()}
    return [_plain(held) for held in value] if isinstance(value, list | tuple) else value


def subject_of(event: bytes) -> str:
    """Where the catalogue says the event belongs."""
    raw = json.loads(event)
    dealer = raw["data"].get("dealer")
    family = event.family if isinstance(event, Withdrawal) else TYPES[raw["type"]].families[0]
    return f"channel.{family}.{escape(dealer) if dealer else '_'}"


def log(events: Iterable[bytes], *, after: int = 0, start: datetime = NOON + HOUR) -> list[Message]:
    """The events as the log would hold them, one second apart; subjects by the catalogue."""
    first = int(start.timestamp()) * 10**9
    return [
        Message(number, first + number * 10**9, subject_of(event), event)
        for number, event in enumerate(events, after + 1)
    ]


def valid(message: Message) -> bool:
    """Whether the catalogue takes it."""
    CATALOGUE.read(message.sequence, message.recorded, message.subject, message.body)
    return True


def order(order: str = "O1", dealer: str = "D1", *lines: tuple[str, object], **more: Any) -> bytes:
    """order.placed with lines (SKU, quantity) at 2.50 each."""
    return body(
        "order.placed.v1",
        order=order,
        dealer=dealer,
        currency=more.pop("currency", "CNY"),
        lines=[
            {
                "line": str(number),
                "sku": sku,
                "quantity": str(quantity),
                "unit_price": "2.5",
                "net": str(int(float(str(quantity)) * 1000) * 25 / 10000),
            }
            for number, (sku, quantity) in enumerate(lines or (("COLA", 10),), 1)
        ],
        **more,
    )


def dispatched(delivery: str = "L1", dealer: str = "D1", *lines: tuple[str, object], **more: Any) -> bytes:
    """delivery.dispatched with lines (SKU, quantity)."""
    return body(
        "delivery.dispatched.v1",
        delivery=delivery,
        dealer=dealer,
        lines=[{"sku": sku, "quantity": str(quantity)} for sku, quantity in lines or (("COLA", 10),)],
        **more,
    )


def received(
    delivery: str = "L1", dealer: str = "D1", receipt: str = "R1", *, arrived: datetime = NOON, **more: Any
) -> bytes:
    """delivery.received of one line: accepted, short, damaged, refused as named."""
    line = {name: str(more.pop(name)) for name in ("accepted", "short", "damaged", "refused") if name in more}
    return body(
        "delivery.received.v1",
        delivery=delivery,
        dealer=dealer,
        receipt=receipt,
        arrived=arrived,
        lines=[{"sku": more.pop("sku", "COLA"), "accepted": "0", **line}],
        **more,
    )


def counted(count: str, location: str, at: datetime, *lines: tuple[str, object], **more: Any) -> bytes:
    """stock.counted with lines (SKU, quantity)."""
    return body(
        "stock.counted.v1",
        count=count,
        location=location,
        at=at,
        scope=more.pop("scope", "listed"),
        method="count",
        lines=[{"sku": sku, "quantity": str(quantity)} for sku, quantity in lines],
        **more,
    )


def moved(movement: str, location: str, kind: str, quantity: object, **more: Any) -> bytes:
    """stock.moved of one line."""
    line = {"sku": more.pop("sku", "COLA"), "quantity": str(quantity)}
    if (lot := more.pop("lot", None)) is not None:
        line["lot"] = lot
    return body("stock.moved.v1", movement=movement, location=location, kind=kind, lines=[line], **more)


class Withdrawal(bytes):
    """A void, which belongs on the family of what it withdraws."""

    family = "orders"


def voided(
    id: str,
    *,
    source: str = "erp",
    dealer: str | None = "D1",
    family: str = "orders",
    event_id: str | None = None,
    time: datetime = NOON,
    by: str = "erp",
) -> Withdrawal:
    """event.voided for another event."""
    own: dict[str, Any] = {"id": event_id, "time": time, "source": by}
    raw = json.loads(body("event.voided.v1", **own, subject=id, reason="wrong"))
    raw["data"] |= {"source": source, "id": id} | ({"dealer": dealer} if dealer else {})
    found = Withdrawal(json.dumps(raw, ensure_ascii=False).encode())
    found.family = family
    return found
