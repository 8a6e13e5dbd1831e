"""Ten thousand events, most of them wrong, over HTTP and NATS, beside slow, huge and broken requests."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import httpx
import pytest

from infra.jetstream import connect
from tests.integration.test_bad_input import (
    BATCH,
    LINES,
    OPEN,
    Sent,
    broken,
    example,
    misfit,
    subject_of,
    unheard,
)
from tests.lab.events import order
from tests.lab.qudao import Site, qudao, up

pytestmark = pytest.mark.integration

EACH = 5_000  # over HTTP, and over NATS
CHUNK = 250
RESIDENT_MAX = 400 << 20  # of the API, at its highest
ANSWER_SECONDS_MAX = 10.0  # of a neighbour, while all of it goes on
OTHERWISE = b"2031-01-01T00:00:00Z"  # the time of other content under an id that is taken
TAKEN = ("accepted", "duplicate")
REFUSED = ("invalid", "not_understood", "conflict")


def generated(rng: Random, prefix: str, count: int) -> list[Sent]:
    """Good events, the same again, others under their ids, misfits, broken ones and types that nobody knows."""
    sent: list[Sent] = []
    while len(sent) < count:
        number, name = len(sent), rng.choice(OPEN)
        raw = json.loads(example(name)) | {"id": f"{prefix}-{number}"}
        where = subject_of(name, raw)
        good = json.dumps(raw, ensure_ascii=False).encode()
        other = json.dumps(raw | {"time": OTHERWISE.decode()}).encode()
        sent += [Sent(True, good, where)] * rng.choice((1, 1, 2))
        sent += [Sent(False, other, where)] * rng.choice((0, 0, 1))
        sent.append(Sent(False, misfit(name, raw | {"id": f"{prefix}-{number}m"}, rng), where))
        strange = raw | {"id": f"{prefix}-{number}b"}
        sent.append(Sent(False, unheard(strange), where))
        if rng.random() < 0.3:
            sent.append(Sent(False, broken(json.dumps(strange).encode(), rng), where))
    return sent[:count]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with up(tmp_path_factory.mktemp("scale")) as running:
        yield running


def over_http(site: Site, sent: list[Sent]) -> Counter[str]:
    """Send lines; what became of each, which must be one thing."""
    outcomes: Counter[str] = Counter()
    with httpx.Client(base_url=site.url, timeout=60) as client:
        for begin in range(0, len(sent), CHUNK):
            chunk = [one for one in sent[begin : begin + CHUNK] if b"\n" not in one.body]
            content = b"\n".join(one.body for one in chunk)
            answer = client.post("/events", content=content, headers={"content-type": LINES})
            assert answer.status_code in (200, 207), answer.text[:500]
            entries = [json.loads(line) for line in answer.text.splitlines()]
            assert len(entries) == len(chunk)
            for one, entry in zip(chunk, entries, strict=True):
                # Until the index has seen the holder, other content under its id is stored, and judged in the log.
                may = TAKEN if one.good else (*REFUSED, "accepted") if OTHERWISE in one.body else REFUSED
                assert entry["status"] in may, (one.body[:200], entry)
                if entry["status"] in REFUSED:
                    assert entry["problem"]["errors"], entry
                outcomes[entry["status"]] += 1
    return outcomes


async def over_nats(url: str, sent: list[Sent]) -> int:
    """Publish as an ERP would; the last sequence."""
    client = await connect(url, "test")
    try:
        last = 0
        for begin in range(0, len(sent), CHUNK):
            some = sent[begin : begin + CHUNK]
            replies = await asyncio.gather(
                *[client.request(one.subject, one.body, timeout=20) for one in some]
            )
            last = max(last, *[json.loads(reply.data)["seq"] for reply in replies])
        return last
    finally:
        await client.close()


@contextmanager
def watched(site: Site) -> Iterator[list[float]]:
    """A neighbour that asks all along: how long each answer took, none of which may be a failure."""
    took: list[float] = []
    ended = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=site.url, timeout=30) as client:
            while not ended.is_set():
                began = time.monotonic()
                status = client.get("/orders?limit=5").status_code
                took.append(time.monotonic() - began if status == 200 else 1e9)
                ended.wait(0.05)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield took
    finally:
        ended.set()
        asking.join()


def resident_bytes(pid: int) -> int:
    [line] = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) << 10


def raw_request(site: Site, *parts: bytes, pause: float = 0.0) -> bytes:
    """Bytes on a connection as they are, with a pause after each part; what came back, if anything."""
    target = urlsplit(site.url)
    answer = b""
    with (
        socket.create_connection((target.hostname, target.port), timeout=20) as connection,
        suppress(OSError),
    ):
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        connection.settimeout(10)
        answer = connection.recv(65_536)
    return answer


HEAD = b"POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: " + BATCH.encode() + b"\r\n"


def nuisances(site: Site) -> list[threading.Thread]:
    """Slow, huge, cut and silent requests, all at once."""
    slow = [bytes([byte]) for byte in HEAD[:60]]
    huge = b"[" + b",".join([order(f"H{n}", id=f"huge-{n}") for n in range(1000)])
    chunks = [b"%x\r\n%b\r\n" % (len(huge), huge)] * 40
    whole = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    deep = b"[" * 7_000_000
    works: list[tuple[tuple[bytes, ...], float]] = [
        ((*slow,), 0.1),
        ((*slow,), 0.1),
        ((whole, *chunks), 0.0),
        ((HEAD + b"Content-Length: 900000000\r\n\r\n", huge), 0.5),
        ((HEAD + b"Content-Length: 5000\r\n\r\n[{",), 1.0),
        ((HEAD + b"Content-Length: %d\r\n\r\n" % len(deep), deep), 0.0),
        ((b"\x16\x03\x01\x02\x00" * 100,), 0.0),
    ]
    threads = [
        threading.Thread(target=raw_request, args=(site, *parts), kwargs={"pause": pause})
        for parts, pause in works
    ]
    for thread in threads:
        thread.start()
    return threads


def test_ten_thousand_events_most_of_them_wrong_have_one_outcome_each(site: Site) -> None:
    rng = Random(10_000)
    http, nats = generated(rng, "h", EACH), generated(rng, "n", EACH)

    with watched(site) as took:
        threads = nuisances(site)
        outcomes = over_http(site, http)
        last = asyncio.run(over_nats(site.nats, nats))
        for thread in threads:
            thread.join()

    kinds = count(site, last)
    sane = len({one.body for one in http if one.good}), len({one.body for one in nats if one.good})
    assert outcomes["accepted"] >= sane[0]
    assert kinds["accepted"] == sum(sane)
    assert sum(kinds.values()) == last
    assert kinds["duplicate"] > 100
    assert kinds["conflict"] > 100
    assert kinds["invalid"] > 1000
    assert kinds["not_understood"] > 500
    assert took
    assert max(took) < ANSWER_SECONDS_MAX
    assert resident_bytes(site.pids["API"]) < RESIDENT_MAX
    assert site.get("/health")[1]["healthy"]


def count(site: Site, last: int) -> Counter[str]:
    """How many messages of the log became what."""
    found: Counter[str] = Counter()
    status, answer = site.get(f"/events?sum=of&by=status&min_sequence={last}&wait=30&limit=100")
    assert status == 200, answer
    for row in answer["items"]:
        found[row["status"]] = row["count"]
    return found


def test_every_rejection_says_what_is_wrong_and_where(site: Site) -> None:
    cursor, seen = "", 0
    while True:
        _, page = site.get(f"/rejections?limit=1000{cursor}")
        for row in page["items"]:
            assert row["code"] in REFUSED
            assert row["reasons"]
            assert all(reason["field"] and reason["reason"] for reason in row["reasons"]), row
        seen += len(page["items"])
        if not page["next"]:
            break
        cursor = f"&cursor={page['next']}"

    assert seen > 2000


def test_the_rows_are_what_the_log_says_afterwards(site: Site) -> None:
    checked = qudao("check", "--nats", site.nats, "--database", site.ready["database"])

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_body_without_end_is_refused_and_the_service_goes_on(site: Site) -> None:
    part = b"%x\r\n%b\r\n" % (1 << 20, b" " * (1 << 20))

    answer = raw_request(site, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[part] * 12)

    assert answer == b"" or b" 413 " in answer.split(b"\r\n")[0]
    assert site.get("/orders?limit=1")[0] == 200
