"""Subjects that the server takes and that some of those who read it cannot: none of them stops the book."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from infra.message import Message, subject_text
from tests.lab.databases import Databases
from tests.lab.events import log, order
from tests.lab.qudao import Site, eventually, up
from tests.lab.site import fold, site

pytestmark = pytest.mark.integration

#: Not UTF-8, a blank to nats-py alone, wildcards as tokens, and what PostgreSQL has no text for.
ODD = (
    b"channel.orders.a\x0bb",
    b"channel.orders.>",
    b"channel.*.D1",
    b"channel.orders.D\x00",
    b"channel.orders.\xff",
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with up(tmp_path_factory.mktemp("odd")) as found:
        yield found


async def publish(site: Site, subject: bytes, body: bytes) -> None:
    """Publish as a client that is not held to what nats-py writes."""
    host, port = site.nats.removeprefix("nats://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB answers 1\r\n')
    writer.write(b"PUB %b answers %d\r\n%b\r\n" % (subject, len(body), body))
    await writer.drain()
    async with asyncio.timeout(5):
        while b'"seq"' not in await reader.readline():
            pass
    writer.close()
    await writer.wait_closed()


def test_whatever_a_subject_holds_the_projector_goes_on(running: Site) -> None:
    for number, subject in enumerate(ODD):
        asyncio.run(publish(running, subject, order(id=f"odd-{number}")))
        _, answer = running.post("/events", order(f"O{number}", "D1"))
        last = answer["sequence"]

    def visible() -> bool:
        return running.get(f"/events?min_sequence={last}&wait=1")[0] == 200

    assert eventually(visible, seconds=60)
    rejections = running.rows("rejections", last)
    assert len(rejections) == len(ODD)
    assert "channel.orders.\ufffd" in {row["subject"] for row in rejections}


def test_a_subject_with_a_nul_is_a_rejection_like_others(databases: Databases) -> None:
    where = databases.new()
    [plain] = log([order("O1", "D1")])
    odd = Message(2, plain.recorded, "channel.orders.D\x00", order("O2", "D1"))
    fold(where, [plain, odd])

    with site(where) as client:
        [row] = client.get("/rejections").json()["items"]

    assert (row["sequence"], row["subject"]) == (2, "channel.orders.D\ufffd")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"channel.orders.D-1", "channel.orders.D-1"),
        ("channel.orders.渠".encode(), "channel.orders.渠"),
        (b"channel.orders.\xe6\xb8", "channel.orders.\ufffd\ufffd"),
        (b"channel.orders.\xed\xa0\x80", "channel.orders.\ufffd\ufffd\ufffd"),
    ],
)
def test_a_subject_is_a_text_whatever_bytes_it_has(raw: bytes, text: str) -> None:
    assert subject_text(raw) == text
