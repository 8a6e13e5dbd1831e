"""Rows of every type go to the database and to JSON and come back as they were."""

from __future__ import annotations

import builtins
import datetime as dates
import decimal
import types
import typing
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from typing import Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from domain.calendar import from_microseconds
from domain.numbers import scaled
from infra.cache import Cache
from infra.database import Database
from infra.definitions import physical
from infra.documents import ROWS
from infra.tables import Codec
from projections.orders import OrderingDealer
from projections.registry import PROJECTIONS
from projections.rows import TABLES, MemoryRows, Row
from projections.stock_rows import StockLevel, StockMove
from tests.lab.databases import Databases
from tests.lab.folding import database_on, store

LAW = settings(max_examples=4, derandomize=True, database=None, deadline=None)
EVERY = [*ROWS, *(row for p in PROJECTIONS for row in p.rows)]
VERSION = "codec"

# What the projections' fields hold, whatever JSON columns are made of: bounds included.
texts = st.sampled_from(
    ["", "COLA", "可乐", "渠道-7", "🥤", "a'b\"c\\d", "WH/OUT/00001", "=5F", "%_"]
) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
LARGEST, WORD = D(10) ** 22 - D("0.000001"), D("9223372036854.775807")  # of 64 bits
decimals = st.sampled_from(
    [D(0), D("0.000001"), D("-0.000001"), D(10) ** 12, WORD, -WORD, WORD + 1, LARGEST, -LARGEST]
) | st.integers(-(10**28) + 1, 10**28 - 1).map(lambda n: D(n).scaleb(-6))
instants = st.integers(-(10**16) * 6, 10**17 * 2).map(from_microseconds)  # the years 68 to 8307
integers = st.integers(-(2**63), 2**63 - 1)
BY_KIND = {
    "text": texts,
    "integer": integers,
    "boolean": st.booleans(),
    "decimal": decimals,
    "instant": instants,
    "day": st.dates(date(1, 1, 1)),
}


def _values(annotation: Any) -> st.SearchStrategy[Any]:
    """What may stand in a JSON column of a type."""

    def convert(value: Any) -> Any:
        try:
            return msgspec.convert(value, annotation)
        except msgspec.ValidationError:  # some Structs have rules beyond their types
            reject()

    return _plain(annotation).map(convert)


def _plain(kind: Any) -> st.SearchStrategy[Any]:
    """Decoded JSON that fits a type; decimals and ids within the bounds of the edge."""
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    arguments = get_args(kind)
    match get_origin(kind) or kind:
        case builtins.tuple | builtins.list:
            return st.lists(_plain(arguments[0]), max_size=2)
        case builtins.dict:
            return st.dictionaries(texts, texts, max_size=3)
        case typing.Literal:
            return st.sampled_from(arguments)
        case typing.Union | types.UnionType:
            return st.one_of(*[_plain(one) for one in arguments])
        case struct if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
            fields = {f.encode_name: _plain(f.type) for f in msgspec.structs.fields(struct)}
            return st.fixed_dictionaries(fields).map(_in_order)
        case types.NoneType:
            return st.none()
        case builtins.bool:
            return st.booleans()
        case builtins.int:
            return integers
        case decimal.Decimal:
            return st.sampled_from([D(0), D("0.000001"), D("2.5"), D("999999999999.999999")])
        case dates.datetime:
            return instants
        case dates.date:
            return BY_KIND["day"]
    return texts.filter(bool)


def _in_order(held: dict[str, Any]) -> dict[str, Any]:
    """A period that ends after it has begun."""
    begin, end = held.get("from"), held.get("to")
    if isinstance(begin, datetime) and end is not None and end <= begin:
        held["from"], held["to"] = end, begin + timedelta(microseconds=1)
    return held


def rows_of(row: type[Row]) -> st.SearchStrategy[Row]:
    """Any row of a type."""
    found = []
    for column in Codec(row).columns:
        values = _values(column.type) if column.kind == "json" else BY_KIND[column.kind]
        found.append(st.none() | values if column.nullable else values)
    return st.tuples(*found).map(lambda values: row(*values))


@pytest.fixture(scope="module")
def database(databases: Databases) -> Iterator[Database]:
    """Tables of every row type under one version."""
    database = database_on(databases.new())
    database.create(EVERY, VERSION)
    yield database
    database.close()


def _store(database: Database, rows: list[Row]) -> None:
    name = physical(type(rows[0]), VERSION)
    with database.transaction() as run:
        run(f"DELETE FROM {name}", ())
        store(database, run, name, rows)


@pytest.mark.parametrize("row", EVERY, ids=lambda row: row.__name__)
def test_a_row_comes_back_from_the_database_and_from_json_as_it_was(
    database: Database, row: type[Row]
) -> None:
    codec = Codec(row)

    @LAW
    @given(rows_of(row))
    def law(held: Row) -> None:
        _store(database, [held])

        [found] = database.load(physical(row, VERSION), codec, [codec.key(held)])
        again = msgspec.json.decode(msgspec.json.encode(found), type=row)

        assert found == held
        assert again == held

    law()


@pytest.mark.parametrize("row", EVERY, ids=lambda row: row.__name__)
def test_a_row_that_says_nothing_is_not_stored(database: Database, row: type[Row]) -> None:
    codec, blank = (
        Codec(row),
        {"instant": datetime(2026, 1, 1, tzinfo=UTC), "day": date(2026, 1, 1), "integer": 7},
    )
    empty = row(*[blank.get(c.kind, "某") for c in codec.columns[: codec.key_width]])
    cache = Cache(database, [row], VERSION, 10)

    assert codec.write(empty)[codec.key_width :] == codec.defaults()
    cache.put(empty)
    [(sql, _)] = cache.take(1)
    assert sql.startswith("DELETE")


def test_a_row_taken_back_to_nothing_leaves_the_table(database: Database) -> None:
    _store(database, [OrderingDealer("D2", orders=1)])
    cache = Cache(database, [OrderingDealer], VERSION, 10)
    for orders in (1, -1):
        cache.edit(OrderingDealer, "D1").orders += orders
        with database.transaction() as run:
            for sql, parameters in cache.take(1):
                run(sql, parameters)

    assert [dealer for dealer, *_ in database.rows(f"SELECT * FROM {physical(OrderingDealer, VERSION)}")] == [
        "D2"
    ]


@LAW
@given(st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=8, unique=True), st.data())
def test_keys_sort_in_the_database_as_in_python(database: Database, keys: list[Any], data: Any) -> None:
    rows = [StockLevel(*key, on_hand=D(1)) for key in keys]
    _store(database, list(rows))
    location = data.draw(st.sampled_from(keys))[0]

    found = list(database.scan(physical(StockLevel, VERSION), Codec(StockLevel), (location,)))

    in_memory = MemoryRows()
    for row in rows:
        in_memory.put(row)
    assert found == list(in_memory.range(StockLevel, location))


@LAW
@given(st.lists(st.tuples(instants, texts), min_size=1, max_size=8, unique=True), st.data())
def test_a_range_of_instants_is_the_same_stored_under_way_and_in_memory(
    database: Database, keys: list[Any], data: Any
) -> None:
    rows = [StockMove("WH", "可乐", "", at, "D1", document, on_hand=D(1)) for at, document in keys]
    ends = st.none() | st.sampled_from([at for at, _ in keys]) | instants
    since, until = data.draw(ends), data.draw(ends)
    half = data.draw(st.integers(0, len(rows)))
    _store(database, [*rows[:half], StockMove("WH", "FANTA", "", keys[0][0], "D1", "x", on_hand=D(1))])
    cache, in_memory = Cache(database, [StockMove], VERSION, 10), MemoryRows()
    for row in rows[half:]:
        cache.put(row)
    for row in rows:
        in_memory.put(row)

    found = list(cache.range(StockMove, "WH", "可乐", "", since=since, until=until))

    assert found == list(in_memory.range(StockMove, "WH", "可乐", "", since=since, until=until))


@given(decimals)
@LAW
def test_a_decimal_is_stored_exactly_or_not_at_all(value: D) -> None:
    assert D(scaled(value)).scaleb(-6) == value

    for wrong in (value + 2 * D(10) ** 22, value - 2 * D(10) ** 22):
        with pytest.raises(OverflowError):
            scaled(wrong)


def test_what_has_more_places_than_are_stored_is_no_figure() -> None:
    with pytest.raises(OverflowError, match="1E-7 is no figure"):
        scaled(D("0.0000001"))


def test_instants_are_stored_to_the_microsecond_in_any_offset() -> None:
    codec = Codec(StockMove)
    at = datetime.fromisoformat("2026-03-02T12:00:00.000001+08:00")
    row = StockMove("WH", "COLA", "", at, "", "x", on_hand=D(1))

    found = codec.read(codec.write(row))

    assert found == row
    assert isinstance(found, StockMove)
    assert found.at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "0001-01-01T00:00:00+00:00"]
)
def test_instants_at_the_ends_of_the_calendar_come_back_as_they_were(text: str) -> None:
    codec, at = Codec(StockMove), datetime.fromisoformat(text)
    row = StockMove("WH", "COLA", "", at, "", "x", on_hand=D(1))

    assert codec.read(codec.write(row)) == row


def test_every_row_type_has_a_table_of_its_own() -> None:
    names = [TABLES[row].name for row in EVERY]

    assert len(set(names)) == len(names)
