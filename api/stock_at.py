"""Stock as it was at an instant: summed from moves and counts when it is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa

from api.fields import Stored
from api.problems import Problem
from api.views import Computed, Reader
from infra.tables import Codec
from projections.rows import TABLES, Row, is_empty
from projections.stock import OrderItem, StockCount, StockLevel, StockMove, level_at

R = TypeVar("R", bound=Row)

ROWS_MAX = 200_000

Filters = Mapping[str, Sequence[Stored]]


def stock_levels_at(reader: Reader, at: datetime, filters: Filters) -> Iterator[StockLevel]:
    """The levels of the named locations at an instant; without a location it would be all moves there ever were."""
    if "location" not in filters:
        reason = "stock at another time is answered for named locations: add location="
        raise Problem("cannot_be_answered", reason, [("location", "is missing")])
    scope = {name: values for name, values in filters.items() if name in ("location", "sku")}
    counted = dict(scope)
    if "sku" in scope:  # a count of the whole location bears on every product
        counted["sku"] = [*scope["sku"], ""]
    moves: defaultdict[tuple[str, str, str], list[StockMove]] = defaultdict(list)
    for move in _rows(reader, StockMove, scope):
        moves[move.location, move.sku, move.lot].append(move)
    counts: defaultdict[tuple[str, str], list[StockCount]] = defaultdict(list)
    for count in _rows(reader, StockCount, counted):
        counts[count.location, count.sku].append(count)
    ordered: defaultdict[tuple[str, str], list[OrderItem]] = defaultdict(list)
    for item in _rows(reader, OrderItem, scope):
        ordered[item.location, item.sku].append(item)
    buckets = set(moves)
    buckets |= {(c.location, c.sku, c.lot) for some in counts.values() for c in some if c.sku}
    buckets |= {(location, sku, "") for location, sku in ordered}
    for location, sku, lot in sorted(buckets):
        bearing = [c for c in counts[location, sku] if c.lot in (lot, "")] + counts[location, ""]
        bucket = StockLevel(location, sku, lot)
        level = level_at(bucket, moves[location, sku, lot], bearing, ordered[location, sku], at)
        if not is_empty(level):
            yield level


#: Views that can be asked for another time.
COMPUTED = {"stock_levels": Computed(stock_levels_at)}


def _rows(reader: Reader, row: type[R], filters: Filters) -> Iterator[R]:
    codec = Codec(row)
    source = sa.table(TABLES[row].view, *[sa.column(column.name) for column in codec.columns])
    wanted = [source.c[name].in_(list(values)) for name, values in filters.items()]
    found = reader.connection.execute(sa.select(source).where(*wanted).limit(ROWS_MAX + 1)).fetchall()
    if len(found) > ROWS_MAX:
        reason = f"more than {ROWS_MAX} {TABLES[row].view} bear on it: name fewer locations or products"
        raise Problem("cannot_be_answered", reason, [("location", reason)])
    for values in found:
        read = codec.read(values)
        assert isinstance(read, row)
        yield read
