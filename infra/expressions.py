"""What a mapping file says of one value, turned into functions over the rows of an export."""

from __future__ import annotations

import ast
import functools
import operator
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, DecimalException
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from domain.numbers import EXACT

_COLUMN = re.compile(r"\{([^{}]+)\}")
_DIGITS_MAX = 40
ISO = "iso"


class Flaw(ValueError):
    """A mapping file asks for something that cannot be; who compiles it adds where it stands."""


class Unmappable(Exception):
    """A row cannot become an event: `reason` is the same for all such rows, `sample` is this row's case."""

    def __init__(self, reason: str, sample: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.sample = sample


Cells = Sequence[str]
#: A row of the event's file, then the row each join found for it, or why it found none.
Rows = Sequence[Cells | Unmappable]
Text = Callable[[Rows], str]  # "" is an empty cell
Number = Callable[[Rows], Decimal | None]
Resolve = Callable[[str], Text]


class Numbers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the export writes numbers."""

    decimal: Literal[".", ","] = "."
    thousands: str = ""
    ignore: str = ""  # signs that mean nothing, as "¥ "


def template(given: str, column: Resolve) -> Text:
    """A text with `{column}` in it; it is empty where any of its columns is."""
    parts = _COLUMN.split(given)
    for literal in parts[::2]:
        if "{" in literal or "}" in literal:
            raise Flaw(f"the braces in {given!r} do not pair: a column is written {{name}}")
    if len(parts) == 1:
        return lambda rows: given
    if parts[0] == parts[2] == "" and len(parts) == 3:
        return column(parts[1])
    gets = [column(name) for name in parts[1::2]]
    literals = parts[::2]

    def fill(rows: Rows) -> str:
        cells = [get(rows) for get in gets]
        if "" in cells:
            return ""
        pairs = zip(literals, cells, strict=False)
        return "".join(part for pair in pairs for part in pair) + literals[-1]

    return fill


def names_columns(given: str) -> bool:
    """Say whether a template depends on the row at all."""
    return _COLUMN.search(given) is not None


def arithmetic(given: str, column: Resolve, style: Numbers) -> Number:
    """`={a} * (1 - {b})` in exact decimals, with + - * and parentheses; empty where any column is."""
    names: list[str] = []

    def mark(found: re.Match[str]) -> str:
        names.append(found[1])
        return f" _{len(names) - 1} "

    source = _COLUMN.sub(mark, given.removeprefix("=")).strip()
    try:
        tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, RecursionError):
        raise Flaw(f"{given!r} is not arithmetic: {{columns}}, numbers, + - * and parentheses") from None
    read = reader(style)
    columns = {f"_{n}": (f"{{{name}}}", column(name)) for n, name in enumerate(names)}
    evaluate = _compiled(tree.body, source, given)

    def calculate(rows: Rows) -> Decimal | None:
        cells = {key: (name, get(rows)) for key, (name, get) in columns.items()}
        if any(cell == "" for _, cell in cells.values()):
            return None
        numbers = {key: read(cell, name) for key, (name, cell) in cells.items()}
        try:
            return evaluate(numbers)
        except DecimalException:
            raise Unmappable(f"{given} has no exact result", str(numbers)) from None

    return calculate


_Evaluate = Callable[[dict[str, Decimal]], Decimal]
_OPERATIONS = {ast.Add: EXACT.add, ast.Sub: EXACT.subtract, ast.Mult: EXACT.multiply}


def _compiled(node: ast.expr, source: str, given: str) -> _Evaluate:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            operation = _OPERATIONS[type(op)]
            one, other = _compiled(left, source, given), _compiled(right, source, given)
            return lambda numbers: operation(one(numbers), other(numbers))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _compiled(operand, source, given)
            return lambda numbers: EXACT.minus(inner(numbers))
        case ast.Name(id=name) if re.fullmatch(r"_[0-9]+", name):
            return operator.itemgetter(name)
        case ast.Constant(value=int() | float()):
            written = ast.get_source_segment(source, node) or ""
            if re.fullmatch(r"[0-9]+(\.[0-9]+)?", written):
                constant = Decimal(written)
                return lambda numbers: constant
    raise Flaw(f"in {given!r} only {{columns}}, numbers, + - * and parentheses are known")


def reader(style: Numbers) -> Callable[[str, str], Decimal]:
    """Read a cell as the export writes numbers; SAP's minus after the digits is understood."""
    mark = re.escape(style.decimal)
    whole = "[0-9]+"
    if style.thousands:
        sign = re.escape(style.thousands)
        whole = f"(?:[0-9]{{1,3}}(?:{sign}[0-9]{{2,3}})*{sign}[0-9]{{3}}|[0-9]+)"
    pattern = re.compile(f"([+-]?)(?:({whole})(?:{mark}([0-9]+))?|{mark}([0-9]+))(-?)")
    ignored = str.maketrans("", "", style.ignore)

    @functools.lru_cache(4096)
    def read(cell: str, column: str) -> Decimal:
        found = pattern.fullmatch(cell.translate(ignored).strip())
        if found is None or len(cell) > _DIGITS_MAX or (found[1] and found[5]):
            raise Unmappable(f"{column} is not a number", cell)
        digits = (found[2] or "0").replace(style.thousands, "") if style.thousands else found[2] or "0"
        value = Decimal(f"{digits}.{found[3] or found[4] or '0'}")
        return -value if "-" in (found[1], found[5]) else value

    return read


def clock(formats: Sequence[str], zone: ZoneInfo | None, days: int) -> Callable[[str, str], datetime]:
    """Read a cell as an instant: its own offset where it has one, else the zone's; `days` later."""

    @functools.lru_cache(4096)
    def read(cell: str, column: str) -> datetime:
        for form in formats:
            try:
                # The zone comes below, unless the text itself says an offset.
                found = datetime.fromisoformat(cell) if form == ISO else datetime.strptime(cell, form)  # noqa: DTZ007
                found += timedelta(days=days)
            except (ValueError, OverflowError):
                continue
            if found.tzinfo is not None:
                return found
            if zone is None:
                raise Unmappable(f"{column} has no offset, and the mapping names no `zone`", cell)
            return found.replace(tzinfo=zone)
        raise Unmappable(f"{column} is not a date written as {' or '.join(formats)}", cell)

    return read
