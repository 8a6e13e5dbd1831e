"""What people ask for by name: the tables that a name is made of, and its definition."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import TopologicalSorter

import sqlalchemy as sa

from infra.sql import quoted
from infra.tables import POSTGRESQL, codec_of
from projections.rows import TABLES, Row


def physical(row: type[Row], version: str) -> str:
    """The table a version of a row type lives in."""
    return f"{TABLES[row].name}__{version}"


def definitions(
    tables: Iterable[tuple[type[Row], str]], joined: Iterable[type[Row]]
) -> Iterator[tuple[str, str]]:
    """Every name people ask for, and what it is: of the tables named, then of each other.

    `joined` are the views that select from others; one that selects from what is not there is left out.
    """
    names: dict[str, list[str]] = {}
    for row, table in tables:
        # All it has, not what the row type has now: while a new version is built the table is the old one's,
        # and SQLite takes the quoted name of a missing column for a text.
        names.setdefault(TABLES[row].view, []).append(f"SELECT * FROM {table}")
    for name, selects in sorted(names.items()):
        yield name, f"{name} AS {' UNION ALL '.join(selects)}"
    there = set(names)
    for row in after_each_other(joined):
        name, sql = TABLES[row].name, TABLES[row].sql
        if selected_from(sql) <= there:
            there.add(name)
            yield name, f"{name} ({quoted(column.name for column in codec_of(row).columns)}) AS {sql}"


def after_each_other(joined: Iterable[type[Row]]) -> list[type[Row]]:
    """Each view after those it selects from."""
    by_name = {TABLES[row].name: row for row in joined}
    after = {
        row: [by_name[name] for name in selected_from(TABLES[row].sql) if name in by_name]
        for row in by_name.values()
    }
    return list(TopologicalSorter(after).static_order())


def selected_from(sql: str) -> set[str]:
    """The tables and views that a view selects from, by the names people ask under."""
    known = {entry.view for entry in TABLES.values()}
    return known & set(re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", sql))


@cache
def made_of(name: str) -> frozenset[str]:
    """A name people ask for, and those it is made of, however deep."""
    found = {name}
    for entry in TABLES.values():
        if entry.name == name and entry.sql:
            found |= frozenset[str]().union(*[made_of(source) for source in selected_from(entry.sql)])
    return frozenset(found)


def edited(connection: sa.Connection, wanted: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """The names that are not what they should be: name, what it is, what it should be.

    PostgreSQL says a definition in words of its own: it is asked what it would say of the right one, by a view that is
    never committed. Both look at the tables, so each look ends before the next begins, and gives up (OperationalError,
    InternalError) where a projector is switching them: it never waits for this.
    """
    run, postgresql = connection.exec_driver_sql, connection.dialect.name == POSTGRESQL
    if postgresql:
        run("SET LOCAL lock_timeout = '300ms'")
    with connection.begin_nested() as look:
        there: dict[str, str] = dict(tuple(row) for row in run(_ALL[postgresql]))
        look.rollback()
    for name, definition in wanted:
        is_, should = there.get(name, ""), f"CREATE VIEW {definition}"
        if postgresql:
            try:
                with connection.begin_nested() as look:
                    run(f"CREATE TEMP VIEW should_be{definition.removeprefix(name)}")
                    should = str(run("SELECT pg_get_viewdef('pg_temp.should_be'::regclass)").scalar())
                    look.rollback()
            except sa.exc.ProgrammingError as error:
                if not type(error.orig).__name__.startswith(
                    "Undefined"
                ):  # another is gone that it selects from
                    raise
                should = str(error.orig).splitlines()[0]
        if _parts(is_) != _parts(should):
            yield name, is_, should


_ALL = {
    False: "SELECT name, sql FROM sqlite_master WHERE type = 'view'",
    True: "SELECT relname, pg_get_viewdef(oid) FROM pg_class "
    "WHERE relkind = 'v' AND relnamespace = current_schema()::regnamespace",
}


def _parts(definition: str) -> list[str]:
    """A definition without the order of the tables that are put together in it, which rebuilds change."""
    head, _, body = definition.partition(" AS ") if definition.startswith("CREATE") else ("", "", definition)
    return [head, *sorted(part.strip() for part in body.rstrip(";").split("UNION ALL"))]
