"""Mapping files over small exports: what becomes of each value, row and group, and what is said of flaws."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.event_types import CATALOGUE
from infra.expressions import Numbers, Unmappable, arithmetic, reader
from infra.importing import Import, Report, run_import
from infra.mapping import MappingError

HEAD = 'source = "erp"\nzone = "Asia/Shanghai"\n'
MOVES = """
[[event]]
type = "stock.moved.v1"
file = "moves.csv"
id = "{no}"
time = "{day}"
data = { movement = "{no}", location = "WH", kind = "in", lines = [{ sku = "{sku}", quantity = "{pieces}" }] }
"""
ORDERS = """
[[event]]
type = "order.placed.v1"
file = "orders.csv"
group = "{order}"
id = "so-{order}"
time = "{day}"
[event.data]
order = "{order}"
dealer = "{dealer}"
currency = "CNY"
freight = { sum = "{freight}" }
[event.data.lines]
line = "{line}"
sku = "{sku}"
quantity = "{pieces}"
unit_price = "{price}"
net = "={pieces} * {price} * (1 - {off})"
discounts = [{ where = { off.above = 0 }, kind = "percent", amount = "={pieces} * {price} * {off}" }]
"""
ORDER_ROWS = [
    "order,day,dealer,line,sku,pieces,price,off,freight",
    "S1,2026-03-04,D1,1,COLA,10,3.05,0,1.5",
    "S1,2026-03-04,D1,2,TEA,3,2.1,0.15,0.25",
    "S2,2026-03-05,D2,1,COLA,1,3.05,0,",
]

Files = dict[str, str | bytes]


def imported(folder: Path, mapping: str, files: Files) -> tuple[list[dict[str, Any]], Report]:
    for name, content in files.items():
        raw = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(raw)
    (folder / "mapping.toml").write_text(mapping, encoding="utf-8")
    running = Import(folder / "mapping.toml", folder, CATALOGUE)
    events = [msgspec.json.decode(message.body) for message in running.outgoing()]
    return events, running.report


def moved(folder: Path, content: str | bytes, mapping: str = HEAD + MOVES) -> list[dict[str, Any]]:
    events, report = imported(folder, mapping, {"moves.csv": content})
    assert report.unmapped == 0, report
    return events


def flaw(folder: Path, mapping: str, files: Files | None = None) -> str:
    with pytest.raises(MappingError) as found:
        imported(folder, mapping, files or {"moves.csv": "no,day,sku,pieces\n"})
    return str(found.value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_a_number_is_read_back_however_the_export_writes_it(value: Decimal) -> None:
    plain, german = f"{value:,.4f}", f"{value:,.4f}".replace(",", " ").replace(".", ",").replace(" ", ".")
    sap = f"{abs(value):.4f}-" if value < 0 else f"{value:.4f}"

    assert reader(Numbers(thousands=","))(plain, "n") == value
    assert reader(Numbers(decimal=",", thousands="."))(german, "n") == value
    assert reader(Numbers())(sap, "n") == value


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(0, 100))
def test_arithmetic_is_exact(a: int, b: int, off: int) -> None:
    places = {"a": 0, "单价": 1, "c d": 2}
    row = [[f"{Decimal(a).scaleb(-2)}", f"{Decimal(b).scaleb(-3)}", f"{Decimal(off).scaleb(-2)}"]]
    product = arithmetic(
        "={a} * {单价} * (1 - {c d}) - -0.1", lambda name: lambda rows: rows[0][places[name]], Numbers()
    )(row)

    assert product == Decimal(a * b * (100 - off)).scaleb(-7) + Decimal("0.1")


@pytest.mark.parametrize("cell", ["1.5.0", "abc", "1,5", "1e5", "NaN", "-1-", "1 000", "٣", "9" * 50, "--1"])
def test_what_is_no_number_is_never_guessed(cell: str) -> None:
    with pytest.raises(Unmappable, match="price is not a number"):
        reader(Numbers())(cell, "price")


def test_a_comma_is_never_taken_for_a_thousands_mark_at_the_wrong_place() -> None:
    read = reader(Numbers(thousands=","))

    assert read("12,34,567.5", "n") == Decimal("1234567.5")
    with pytest.raises(Unmappable):
        read("1,5", "n")


def test_rows_of_a_group_become_the_lines_of_one_document(tmp_path: Path) -> None:
    events, report = imported(tmp_path, HEAD + ORDERS, {"orders.csv": "\n".join(ORDER_ROWS)})

    assert [event["data"] for event in events] == [
        {
            "order": "S1",
            "dealer": "D1",
            "currency": "CNY",
            "freight": "1.75",
            "lines": [
                {"line": "1", "sku": "COLA", "quantity": "10", "unit_price": "3.05", "net": "30.5"},
                {
                    "line": "2",
                    "sku": "TEA",
                    "quantity": "3",
                    "unit_price": "2.1",
                    "net": "5.355",
                    "discounts": [{"kind": "percent", "amount": "0.945"}],
                },
            ],
        },
        {
            "order": "S2",
            "dealer": "D2",
            "currency": "CNY",
            "lines": [{"line": "1", "sku": "COLA", "quantity": "1", "unit_price": "3.05", "net": "3.05"}],
        },
    ]
    assert (report.events[0].rows, report.events[0].made, report.unmapped) == (3, 2, 0)


def test_rows_of_a_group_may_stand_apart(tmp_path: Path) -> None:
    header, first, second, other = ORDER_ROWS
    together, _ = imported(tmp_path, HEAD + ORDERS, {"orders.csv": "\n".join(ORDER_ROWS)})
    apart, _ = imported(tmp_path, HEAD + ORDERS, {"orders.csv": "\n".join([header, first, other, second])})

    assert sorted(apart, key=lambda event: event["id"]) == together


def test_a_document_is_not_made_without_one_of_its_rows(tmp_path: Path) -> None:
    header, first, second, other = ORDER_ROWS
    rows = [header, first, second.replace(",3,2.1,", ",3 pcs,2.1,"), other, "S3,2026-03-05,D1,1"]
    events, report = imported(tmp_path, HEAD + ORDERS, {"orders.csv": "\n".join(rows)})

    assert [event["id"] for event in events] == ["so-S2"]
    found = {
        missed.reason: (missed.count, missed.rows, missed.sample) for missed in report.events[0].unmapped
    }
    assert found == {
        "{pieces} is not a number": (1, [3], "3 pcs"),
        "the row has not as many cells as the header, 9": (1, [5], "4"),
    }


def test_a_group_whose_rows_disagree_about_the_document_is_named(tmp_path: Path) -> None:
    rows = [line.replace("D1,2", "D9,2") for line in ORDER_ROWS]
    events, report = imported(tmp_path, HEAD + ORDERS, {"orders.csv": "\n".join(rows)})

    assert [event["id"] for event in events] == ["so-S2"]
    [missed] = report.events[0].unmapped
    assert (missed.reason, missed.sample) == ("rows of one group differ in data.dealer", "D1 and D9")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_an_encoding_is_read_as_declared(tmp_path: Path, encoding: str) -> None:
    content = "单号,日期,商品,数量\nM-1,2026-03-04,可乐㐀,12\n".encode(encoding)
    declared = f'encoding = "{encoding}"\n' if encoding in ("gb18030", "utf-16") else ""
    mapping = declared + HEAD + MOVES.replace("{no}", "{单号}").replace("{day}", "{日期}")
    mapping = mapping.replace("{sku}", "{商品}").replace("{pieces}", "{数量}")

    [event] = moved(tmp_path, content, mapping)

    assert event["data"]["lines"] == [{"sku": "可乐㐀", "quantity": "12"}]


def test_a_row_of_another_encoding_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    content = "no,day,sku,pieces\n1,2026-03-04,茶,1\n".encode() + "2,2026-03-04,茶,1\n".encode("gb18030")
    events, report = imported(tmp_path, HEAD + MOVES, {"moves.csv": content})

    assert [event["id"] for event in events] == ["1"]
    [missed] = report.events[0].unmapped
    assert (missed.reason, missed.rows) == ("the row is not utf-8-sig: set `encoding`", [3])


@pytest.mark.parametrize(
    ("zone", "day", "instant"),
    [
        ("Asia/Shanghai", "2026-03-04", "2026-03-04T00:00:00+08:00"),
        ("America/New_York", "2026-03-04", "2026-03-04T00:00:00-05:00"),
        ("America/New_York", "2026-07-04 18:30:00", "2026-07-04T18:30:00-04:00"),
        ("Asia/Shanghai", "2026-03-04T01:00:00Z", "2026-03-04T01:00:00+00:00"),
        ("Asia/Shanghai", "20260304", "2026-03-04T00:00:00+08:00"),
    ],
)
def test_a_date_takes_the_zone_unless_it_says_its_own(
    tmp_path: Path, zone: str, day: str, instant: str
) -> None:
    mapping = f'source = "erp"\nzone = "{zone}"\n' + MOVES

    [event] = moved(tmp_path, f"no,day,sku,pieces\n1,{day},COLA,1\n", mapping)

    assert event["time"] == instant


def test_days_are_added_by_the_calendar_not_by_the_hour(tmp_path: Path) -> None:
    mapping = 'source = "erp"\nzone = "America/New_York"\n' + MOVES.replace(
        'time = "{day}"', 'time = { value = "{day}", days = 1, format = "%d.%m.%Y" }'
    )

    [event] = moved(tmp_path, "no,day,sku,pieces\n1,07.03.2026,COLA,1\n", mapping)

    assert event["time"] == "2026-03-08T00:00:00-05:00"


def test_a_spreadsheet_of_another_country_is_read(tmp_path: Path) -> None:
    mapping = 'delimiter = ";"\ndates = ["%d.%m.%Y", "iso"]\nempty = ["NULL"]\n' + HEAD
    mapping += '[numbers]\ndecimal = ","\nthousands = "."\nignore = "€ "\n'
    mapping += '[files."moves.csv"]\nskip = 1\ncolumns = ["no", "day", "sku", "pieces", "lot"]\n'
    mapping += MOVES.replace('quantity = "{pieces}"', 'quantity = "{pieces}", lot = "{lot}"')

    one, two = moved(
        tmp_path,
        "Lager Nord\n1;04.03.2026;COLA;€ 1.234,50;NULL\n2;2026-03-05; COLA ;,5;L1;;\n;;;;\n",
        mapping,
    )

    assert one["data"]["lines"] == [{"sku": "COLA", "quantity": "1234.5"}]
    assert two["data"]["lines"] == [{"sku": "COLA", "quantity": "0.5", "lot": "L1"}]


JOINED = """
[[event]]
type = "product.listed.v1"
file = "products.csv"
id = "product-{id}"
time = 2026-01-01
[event.join]
sub = { file = "subs.csv", key = "{id}", on = "={sub}" }
category = { file = "categories.csv", key = "{id}", on = "{sub.category}", optional = true }
[event.data]
sku = "P-{id}"
name = "{name}"
base_uom = { value = "{unit}", map = "unit" }
category = { value = "{category.name}", or = "none" }
must_sell = "{must}"
shelf_life_days = "{days}"
[aliases.unit]
"箱" = "case"
"瓶" = "bottle"
"""


def test_joins_are_chained_and_aliases_replaced(tmp_path: Path) -> None:
    events, report = imported(
        tmp_path,
        HEAD + JOINED,
        {
            "products.csv": "id,name,sub,unit,must,days\n7,Cola,31.0,箱,是,270\n8,Tea,32,瓶,N,\n"
            "9,X,33,箱,,\n5,Y,31,袋,,\n4,Z,34,箱,,\n",
            "subs.csv": "id,category\n31,1\n32,2\n34,1\n34,2\n",
            "categories.csv": "id,name\n1,Drinks\n",
        },
    )

    assert [event["data"] for event in events] == [
        {
            "sku": "P-7",
            "name": "Cola",
            "base_uom": "case",
            "category": "Drinks",
            "must_sell": True,
            "shelf_life_days": 270,
        },
        {"sku": "P-8", "name": "Tea", "base_uom": "bottle", "category": "none", "must_sell": False},
    ]
    assert [(missed.reason, missed.rows, missed.sample) for missed in report.events[0].unmapped] == [
        ("join.sub: subs.csv has no row for a key", [4], "33"),
        ("a value is not in [aliases.unit]", [5], "袋"),
        ("join.sub: subs.csv has several different rows for a key", [6], "34"),
    ]


TARGETS = """
[[event]]
type = "target.set.v1"
file = "quotas.csv"
id = "quota-{rep}-{from}"
time = "{from}"
[event.join]
next = { file = "quotas.csv", key = "{rep}", on = "{rep}", next_by = "{from}", optional = true }
[event.data]
target = "quota-{rep}-{from}"
scope = { rep = "{rep}" }
measure = "amount"
flow = "primary"
from = "{from}"
to = { value = "{next.from}", or = 2026-12-31 }
value = "{value}"
"""


def test_a_window_lasts_until_the_next_row_of_the_same_key(tmp_path: Path) -> None:
    rows = "rep,from,value\nR1,2026-06-01,3\nR2,2026-02-01,9\nR1,2026-01-01,1\nR1,2026-04-01,2\n"
    events, _ = imported(tmp_path, HEAD + TARGETS, {"quotas.csv": rows})

    windows = {(event["data"]["from"][:10], event["data"]["to"][:10]) for event in events}
    assert windows == {
        ("2026-01-01", "2026-04-01"),
        ("2026-04-01", "2026-06-01"),
        ("2026-06-01", "2026-12-31"),
        ("2026-02-01", "2026-12-31"),
    }


def test_where_leaves_rows_out_and_counts_them(tmp_path: Path) -> None:
    where = 'where = { pieces = { above = 0, below = 100 }, sku.not = ["TEA"], day = { empty = false } }\n'
    mapping = HEAD + MOVES.replace("id =", where + "id =")
    rows = "no,day,sku,pieces\n1,2026-03-04,COLA,5\n2,2026-03-04,TEA,5\n3,2026-03-04,COLA,0\n4,,COLA,5\n"
    events, report = imported(tmp_path, mapping, {"moves.csv": rows})

    assert [event["id"] for event in events] == ["1"]
    assert (report.events[0].rows, report.events[0].left_out) == (4, 3)


def test_rows_that_cannot_be_mapped_are_grouped_by_reason_and_cost_no_neighbour(tmp_path: Path) -> None:
    bad = "".join(f"b{n},2026-03-04,COLA,many\n" for n in range(9))
    rows = f"no,day,sku,pieces\n1,2026-03-04,COLA,1\n{bad}2,31.12.2026,COLA,1\n"
    rows += "3,2026-03-04,COLA,-1\n4,2026-03-04,COLA,1\n"
    events, report = imported(tmp_path, HEAD + MOVES, {"moves.csv": rows})

    assert [event["id"] for event in events] == ["1", "4"]
    assert [(missed.reason, missed.count, missed.rows) for missed in report.events[0].unmapped] == [
        ("{pieces} is not a number", 9, [3, 4, 5, 6, 7]),
        ("{day} is not a date written as iso", 1, [12]),
        ("data.lines[].quantity must be at least 0", 1, [13]),
    ]


def test_an_id_that_two_different_events_share_is_named_and_the_same_row_twice_is_one_event(
    tmp_path: Path,
) -> None:
    rows = "no,day,sku,pieces\n1,2026-03-04,COLA,1\n1,2026-03-04,COLA,1\n1,2026-03-04,COLA,2\n"
    events, report = imported(tmp_path, HEAD + MOVES, {"moves.csv": rows})

    assert len(events) == 1
    assert report.events[0].repeated == 1
    [missed] = report.events[0].unmapped
    assert (missed.reason, missed.rows) == ("the id is that of another event of this import", [4])


def test_the_same_export_makes_the_same_messages(tmp_path: Path) -> None:
    imported(tmp_path, HEAD + ORDERS, {"orders.csv": "\n".join(ORDER_ROWS)})
    once, again = (list(Import(tmp_path / "mapping.toml", tmp_path, CATALOGUE).outgoing()) for _ in range(2))

    assert once == again
    assert [message.subject for message in once] == ["channel.orders.D1", "channel.orders.D2"]


def test_without_a_log_events_are_only_made_and_checked(tmp_path: Path) -> None:
    imported(tmp_path, HEAD + ORDERS, {"orders.csv": "\n".join(ORDER_ROWS)})
    seen: list[int] = []
    report = asyncio.run(
        run_import(
            tmp_path / "mapping.toml",
            tmp_path,
            None,
            catalogue=CATALOGUE,
            progress=lambda now: seen.append(now.events[0].made),
        )
    )

    assert (report.events[0].made, report.appended, seen) == (2, 0, [2])


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ("encodng = 'x'\n" + HEAD + MOVES, "the top level: unknown key `encodng`"),
        (HEAD + MOVES.replace("time =", "tme ="), "[[event]] no. 1: unknown key `tme`"),
        (HEAD + MOVES.replace('id = "{no}"\n', ""), "[[event]] no. 1: the key `id` is missing"),
        (
            HEAD + MOVES.replace("quantity", "quantty"),
            "data.lines[0]: unknown key 'quantty'. did you mean 'quantity'?",
        ),
        (HEAD + MOVES.replace('location = "WH", ', ""), "data: location must be given"),
        (
            HEAD + MOVES.replace("{pieces}", "{peices}"),
            "data.lines[0].quantity: moves.csv has no column 'peices'. ",
        ),
        (HEAD + MOVES.replace("{pieces}", "{prodct.pieces}"), "no join above is called 'prodct'"),
        (HEAD + MOVES.replace("{pieces}", "={pieces} / 2"), "quantity: in '={pieces} / 2' only {columns}"),
        (
            HEAD + MOVES.replace("{pieces}", "=open({pieces})"),
            "only {columns}, numbers, + - * and parentheses",
        ),
        (HEAD + MOVES.replace("{pieces}", "{pieces"), "the braces in '{pieces' do not pair"),
        (HEAD + MOVES.replace("stock.moved", "stock.move"), "did you mean 'stock.moved.v1'?"),
        (
            HEAD + MOVES.replace("stock.moved", "dealer.admitted"),
            "is a decision, which only a command can make",
        ),
        (HEAD + MOVES.replace('id = "{no}"', 'id = "one"'), "id: names no column"),
        (HEAD + MOVES.replace("moves.csv", "move.csv"), "did you mean 'moves.csv'?"),
        (HEAD + MOVES.replace("moves.csv", "../moves.csv"), "must lie in the folder"),
        (HEAD.replace("Asia/Shanghai", "Asia/Peking") + MOVES, "zone: 'Asia/Peking' is no IANA time zone"),
        ("encoding = 'gbk18030'\n" + HEAD + MOVES, "encoding: 'gbk18030' is no encoding"),
        (
            HEAD + MOVES.replace("id =", "where = { sku.like = 'C' }\nid ="),
            "where: sku: like = 'C' is no test",
        ),
        (HEAD + MOVES.replace('"{sku}"', '{ value = "{sku}", map = "skus" }'), "no [aliases.skus]"),
        (HEAD + MOVES.replace('"{sku}"', '{ vale = "{sku}" }'), "unknown key `vale`"),
        ("source = ", "is not TOML"),
    ],
)
def test_a_flaw_of_the_mapping_stops_it_and_is_named(tmp_path: Path, mapping: str, said: str) -> None:
    message = flaw(tmp_path, mapping)

    assert said in message
    assert "mapping.toml" in message or "moves.csv" in message


def test_a_mechanics_is_chosen_by_its_kind(tmp_path: Path) -> None:
    mapping = (
        HEAD
        + """
[[event]]
type = "promotion.planned.v1"
file = "p.csv"
id = "{p}"
time = "{from}"
[event.data]
promotion = "{p}"
name = "{p}"
from = "{from}"
to = { value = "{from}", days = 30 }
scope = {}
mechanics = { kind = "percent", percent = "={off} * 100" }
x = { note = "{p}!", share = "={off}" }
"""
    )
    [event], _ = imported(tmp_path, mapping, {"p.csv": "p,from,off\nSPRING,2026-03-01,0.15\n"})

    assert event["data"]["mechanics"] == {"kind": "percent", "percent": "15"}
    assert event["data"]["scope"] == {}
    assert event["data"]["x"] == {"note": "SPRING!", "share": "0.15"}
    wrong = mapping.replace('kind = "percent"', 'kind = "per_cent"')
    assert "`kind` must be one of these words: price_off, percent" in flaw(tmp_path, wrong)
