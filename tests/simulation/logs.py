"""Small logs full of trouble, drawn from a seed."""

from __future__ import annotations

import json
from random import Random

from infra.message import Message
from tests.lab.events import HOUR, NOON, counted, dispatched, moved, order, received, subject_of, voided
from tests.lab.folding import RECORDED
from tests.lab.histories import repeated

Published = tuple[str, bytes]  # subject and body
BROKEN = (b"{", b"[]", b'{"type": 1}', b"\xff")


def messages(published: list[Published]) -> list[Message]:
    """What was published, as the log holds it: a second apart."""
    return [
        Message(number, RECORDED + number * 10**9, where, event)
        for number, (where, event) in enumerate(published, 1)
    ]


def publish(random: Random, published: list[Published], count: int) -> None:
    """Append events of few documents: restated, withdrawn, repeated, contradicted and broken."""
    for _ in range(count):
        chance = random.random()
        if published and chance < 0.12:
            where, event = random.choice(published)
            published.append((where, event) if event in BROKEN else repeated(where, event))
        elif published and chance < 0.18:
            where, event = random.choice(published)
            published.append((where, event.replace(b'"quantity": "', b'"quantity": "9', 1)))
        elif chance < 0.22:
            published.append(("channel.orders.D1", random.choice(BROKEN)))
        else:
            id = f"e{len(published) + 1}"
            fact = _void(random, published, id) if published and chance < 0.34 else _fact(random, id)
            published.append((subject_of(fact), fact))


def _void(random: Random, published: list[Published], id: str) -> bytes:
    """Of an event that has come, of one that may come yet, or of one that never will."""
    where, event = random.choice(published)
    try:
        named = (
            json.loads(event)["id"] if random.random() < 0.8 else f"e{len(published) + random.randrange(9)}"
        )
    except (ValueError, KeyError, TypeError):
        named = "never"
    _, family, dealer = where.split(".")
    return voided(named, dealer=dealer, family=family, event_id=id)


def _fact(random: Random, id: str) -> bytes:
    dealer, sku = random.choice(("D1", "D2")), random.choice(("COLA", "TEA"))
    name, quantity = str(random.randrange(3)), random.randrange(1, 9)
    time = NOON + random.randrange(-9, 9) * HOUR
    about = {"id": id, "time": time}
    match random.randrange(6):
        case 0:
            return counted(f"C{name}", dealer, time, (sku, quantity), dealer=dealer, **about)
        case 1:
            kind = random.choice(("in", "out"))
            return moved(f"M{name}", dealer, kind, quantity, sku=sku, dealer=dealer, **about)
        case 2:
            goods = {"accepted": quantity, "sku": sku}
            return received(f"L{name}", dealer, order=f"O{name}", arrived=time, **goods, **about)
        case 3:
            return dispatched(f"L{name}", dealer, (sku, quantity), order=f"O{name}", **about)
        case _:
            return order(f"O{name}", dealer, (sku, quantity), **about)
