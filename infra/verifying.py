"""Reading the whole log again: is it the one that was folded, and the one that a head speaks of?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

from msgspec import Struct

from domain.catalogue import Catalogue, Rejected
from domain.chain import START, gap_leaf, link
from domain.gaps import Gap
from domain.identifiers import NO_DEALER, escape
from infra.connection import Connection
from infra.database import RETIRED, Database, Position
from infra.decisions import accepted_gaps
from infra.heads import Head
from infra.message import Message
from infra.positions import INDEX
from infra.reader import LogHoleError, Reader
from infra.stream import stream_state

ROWS = 2000

Progress = Callable[[str, int, int], None]


class Finding(Struct, frozen=True):
    """Something that is not as it was; `sequence` is the first message it is known of."""

    sequence: int
    reason: str


class Verified(Struct, frozen=True):
    """What reading the log again found. Nothing found: it is whole, and what was folded."""

    store_id: str
    sequence: int
    chain: str
    checked: tuple[str, ...]  # what it was held to
    findings: tuple[Finding, ...]


async def verify(
    client: Connection, database: Database | None, head: Head | None, catalogue: Catalogue, progress: Progress
) -> Verified:
    """Hold the log to every position of a database, and to a head."""
    state = await stream_state(client)
    positions, gaps = _positions(database), await accepted_gaps(client)
    findings: list[Finding] = []
    wanted = {p.sequence for p in positions} | ({head.sequence} if head is not None else set())
    chain, links, last = START, dict[int, tuple[str, str]](), 0
    hole: int | None = None
    try:
        async with Reader(client, until=state.last_sequence, gaps=gaps) as reader:
            async for batch in reader:
                chain = _linked(chain, last, batch, wanted, links)
                last = batch[-1].sequence
                progress("verified", last, state.last_sequence)
    except LogHoleError as error:
        hole = error.expected
        findings.append(Finding(error.expected, str(error)))
    # What lies beyond a hole cannot be held to anything; what comes before it can.
    reached = [p for p in positions if hole is None or p.sequence < hole]
    checked = [f"{p.projection} at {p.sequence:,}" for p in reached]
    wrong = [p for p in reached if not _holds(p, links.get(p.sequence), state.store_id)]
    findings += [Finding(p.sequence, _said(p, state.store_id, last, gaps)) for p in wrong]
    if database is not None and wrong:
        first = await _first_difference(client, database, catalogue, last)
        findings = [*([first] if first is not None else []), *findings]
    if head is not None and (hole is None or head.sequence < hole or head.store_id != state.store_id):
        signed = f"{head.signed_at.isoformat()} at {head.sequence:,} by {head.public_key}"
        checked.append(f"a head signed {signed}")
        if reason := _against(head, links.get(head.sequence), state.store_id, last):
            findings.append(Finding(head.sequence, reason))
    if hole is not None:
        findings.sort(key=lambda finding: finding.sequence)
    return Verified(state.store_id, last, chain.hex(), tuple(checked), tuple(findings))


def _positions(database: Database | None) -> list[Position]:
    found = database.positions() if database is not None else []
    return [p for p in found if p.status != RETIRED and p.sequence and p.leaf]


def _linked(
    chain: bytes, last: int, batch: Sequence[Message], wanted: set[int], links: dict[int, tuple[str, str]]
) -> bytes:
    """Continue the chain over a batch, as `domain.chain` says, with nothing called that need not be."""
    for message in batch:
        if message.sequence != (last := last + 1):
            mine = gap_leaf(last, message.sequence - 1)
            chain = link(chain, mine)
            links |= {n: (mine.hex(), chain.hex()) for n in wanted if last <= n < message.sequence}
            last = message.sequence
        mine = sha256(
            b"\x00%b%b%b\x00%b"
            % (
                message.sequence.to_bytes(8, "big"),
                message.recorded.to_bytes(8, "big"),
                message.subject.encode(),
                message.body,
            )
        ).digest()
        chain = sha256(chain + mine).digest()
        if message.sequence in wanted:
            links[message.sequence] = mine.hex(), chain.hex()
    return chain


def _holds(position: Position, found: tuple[str, str] | None, store_id: str) -> bool:
    return (position.store_id, position.leaf, position.chain) == (store_id, *(found or ("", "")))


def _said(position: Position, store_id: str, last: int, gaps: Sequence[Gap]) -> str:
    if position.store_id != store_id:
        return f"{position.projection} was folded from another log, store {position.store_id}"
    if position.sequence > last:
        return f"the log ends at {last:,}, and {position.projection} has folded {position.sequence:,}: it was cut"
    lost = ", ".join(str(gap) for gap in gaps if gap.first <= position.sequence)
    after = (
        f", or it folded what is lost since ({lost}): then build a new database from the log" if lost else ""
    )
    return f"up to here the log is not the one that {position.projection} folded{after}"


def _against(head: Head, found: tuple[str, str] | None, store_id: str, last: int) -> str:
    if head.store_id != store_id:
        return f"the head speaks of another log, store {head.store_id}"
    if found is None:
        return f"the log ends at {last:,} and the head was signed at {head.sequence:,}: it was cut"
    return "" if found[1] == head.chain else "up to here the log is not the one that the head was signed for"


async def _first_difference(
    client: Connection, database: Database, catalogue: Catalogue, last: int
) -> Finding | None:
    """The first message that is not what the index took from it."""
    index = next((p for p in database.positions() if p.projection == INDEX and p.status != RETIRED), None)
    if index is None:
        return None
    rows = _rows(database, f"events__{index.version}")
    gaps = await accepted_gaps(client)
    async with Reader(client, until=min(last, index.sequence), gaps=gaps) as reader:
        async for batch in reader:
            for message in batch:
                sequence, recorded, subject, body = next(rows, (0, 0, "", None))
                if sequence != message.sequence:
                    return Finding(
                        message.sequence, "the index has no row for it: a row was removed, or the log grew"
                    )
                if recorded != message.recorded // 1000:
                    return Finding(
                        sequence, "it is not of the time at which it was taken in: message and row differ"
                    )
                taken = body if body is not None else _refused(catalogue, message)
                if (subject, taken) != (message.subject, message.body):
                    return Finding(sequence, "it is not what was taken in: message and row differ")
    return None


def _refused(catalogue: Catalogue, message: Message) -> bytes | None:
    """The body of a message that is refused now as it was then: the index does not keep it."""
    try:
        catalogue.read(message.sequence, message.recorded, message.subject, message.body)
    except Rejected:
        return message.body
    return None


def _rows(database: Database, table: str) -> Iterator[tuple[int, int, str, bytes | None]]:
    """What the index holds of every message; of what was not valid only when it came."""
    after = 0
    while found := database.rows(
        database.sql.marked(
            f"SELECT sequence, recorded, family, dealer, body FROM {table} WHERE sequence > ? "
            f"ORDER BY sequence LIMIT {ROWS}"
        ),
        (after,),
    ):
        for sequence, recorded, family, dealer, body in found:
            subject = f"channel.{family}.{escape(dealer) if dealer else NO_DEALER}"
            yield sequence, recorded, subject, body.encode() if body else None
        after = found[-1][0]
