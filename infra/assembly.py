"""A mapping compiled against the files' columns: functions from rows to the bodies of events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as Dictionary
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from domain.catalogue import Catalogue, EventType
from domain.numbers import text
from infra.conditions import condition
from infra.expressions import Flaw, Rows, Text, Unmappable, names_columns, template
from infra.mapping import EventMapping, Mapping, MappingError, nearest
from infra.shapes import Shape, shape, struct_named
from infra.values import Leaf, Moment, Values

Group = Sequence[Rows]
Node = Callable[[Group], object]  # None is left out


class Table:
    """A file's columns, and those of them the mapping wants: only they are kept of a row."""

    def __init__(self, file: str, header: Sequence[str]) -> None:
        self.file = file
        self.header = header
        self.wanted: list[int] = []

    def place(self, name: str) -> int:
        """Where the column will stand in a kept row. Raises Flaw, which names the columns there are."""
        if self.header.count(name) != 1:
            if name in self.header:
                raise Flaw(f"{self.file} has more than one column {name!r}: give it `columns` of your own")
            raise Flaw(f"{self.file} has no column {name!r}. {nearest(name, self.header)}")
        index = self.header.index(name)
        if index not in self.wanted:
            self.wanted.append(index)
        return self.wanted.index(index)


class JoinPlan(Struct, frozen=True):
    """How one join finds its row."""

    name: str
    table: Table
    on: Text
    key: Text
    own_time: Moment | None
    row_time: Moment | None
    optional: bool


class EventPlan(Struct, frozen=True):
    """How rows of one file become events of one type."""

    entry: EventType
    table: Table
    joins: tuple[JoinPlan, ...]
    where: Callable[[Rows], bool]
    group: Text | None
    id: Text
    time: Leaf
    head: dict[str, Node]  # must be the same for every row of a group
    spread: dict[str, Node]  # of all rows together: lines and sums
    document: str
    source: str

    def body(self, group: Group) -> tuple[str, bytes]:
        """The event's id and bytes. Raises Unmappable; whether it is valid the catalogue says."""
        for rows in group:
            if isinstance(rows[0], Unmappable):
                raise rows[0]
        head = self._head(group[0])
        for rows in group[1:]:
            if (other := self._head(rows)) != head:
                at = next(name for name in head if head[name] != other[name])
                raise Unmappable(f"rows of one group differ in {at}", f"{head[at]} and {other[at]}")
        identity = head["id"]
        if not isinstance(identity, str) or not identity:
            raise Unmappable("id is empty")
        if head["time"] is None:
            raise Unmappable("time is empty")
        data = {name: head[f"data.{name}"] for name in self.head}
        data.update((name, node(group)) for name, node in self.spread.items())
        event = {
            "specversion": "1.0",
            "id": identity,
            "source": self.source,
            "type": self.entry.name,
            "subject": data.get(self.document) or "",
            "time": head["time"],
            "datacontenttype": "application/json",
            "data": {name: value for name, value in data.items() if value is not None},
        }
        return identity, msgspec.json.encode(event)

    def _head(self, rows: Rows) -> dict[str, object]:
        head: dict[str, object] = {"id": self.id(rows), "time": self.time(rows)}
        head.update((f"data.{name}", node((rows,))) for name, node in self.head.items())
        return head


def compile_mapping(
    mapping: Mapping, path: Path, headers: Dictionary[str, Sequence[str]], catalogue: Catalogue
) -> list[EventPlan]:
    """Compile every event of a mapping. Raises MappingError, which names file, table and key."""
    return [
        _Compiler(mapping, event, f"{path}: [[event]] no. {number} ({event.type})", headers, catalogue).plan()
        for number, event in enumerate(mapping.event, 1)
    ]


class _Compiler:
    """Compiles one `[[event]]`; `at` names it in errors."""

    def __init__(
        self,
        mapping: Mapping,
        event: EventMapping,
        at: str,
        headers: Dictionary[str, Sequence[str]],
        catalogue: Catalogue,
    ) -> None:
        self.event = event
        self.at = at
        self.catalogue = catalogue
        self.source = mapping.source
        self.headers = headers
        self.tables = {"": Table(event.file, headers[event.file])}
        self.values = Values(mapping, self.column)

    def plan(self) -> EventPlan:
        event = self.event
        entry = self._entry()
        joins = [self._join(name) for name in event.join]
        with self._naming("where"):
            where = condition(event.where, self.column, self.values.numbers)
        with self._naming("group"):
            group = template(event.group, self.column) if event.group is not None else None
        with self._naming("id"):
            if group is None and not names_columns(event.id):
                raise Flaw("names no column, so every row would make the same event")
            identity = template(event.id, self.column)
        with self._naming("time"):
            time = self.values.leaf("instant", event.time, "time")
        head, spread = self._data(entry)
        document = next(
            field.encode_name
            for field in msgspec.structs.fields(entry.payload)
            if field.name == entry.document_field
        )
        return EventPlan(
            entry=entry,
            table=self.tables[""],
            joins=tuple(joins),
            where=where,
            group=group,
            id=identity,
            time=time,
            head=head,
            spread=spread,
            document=document,
            source=self.source,
        )

    def column(self, name: str) -> Text:
        """A column of the event's own file, or `join.column`."""
        prefix, dot, rest = name.partition(".")
        main = self.tables[""]
        if name in main.header or not dot or prefix not in self.tables:
            if dot and name not in main.header and prefix not in self.tables:
                raise Flaw(f"{main.file} has no column {name!r}, and no join above is called {prefix!r}")
            return _cell(0, main.place(name))
        return _cell(list(self.tables).index(prefix), self.tables[prefix].place(rest))

    def _entry(self) -> EventType:
        entry = self.catalogue.types.get(self.event.type)
        if entry is None:
            raise MappingError(f"{self.at} type: unknown. {nearest(self.event.type, self.catalogue.types)}")
        if entry.families == ("decisions",):
            raise MappingError(
                f"{self.at} type: is a decision, which only a command can make, never an import"
            )
        return entry

    def _join(self, name: str) -> JoinPlan:
        join = self.event.join[name]
        with self._naming(f"join.{name}"):
            on = self.values.text(join.on)
            table = Table(join.file, self.headers[join.file])
            own = Values(self.values.mapping, lambda column: _cell(0, table.place(column)))
            row_time = own_time = None
            if join.next_by is not None:
                row_time = self.values.moment(join.next_by)
                own_time = own.moment(join.next_by)
            plan = JoinPlan(
                name=name,
                table=table,
                on=on,
                key=own.text(join.key),
                own_time=own_time,
                row_time=row_time,
                optional=join.optional,
            )
        self.tables[name] = table
        return plan

    def _data(self, entry: EventType) -> tuple[dict[str, Node], dict[str, Node]]:
        """The nodes of `data`: those each row says for itself, and those all rows of a group make together."""
        head: dict[str, Node] = {}
        spread: dict[str, Node] = {}
        fields = self._fields(entry.payload, self.event.data, "data")
        for name, given in self.event.data.items():
            where = f"data.{name}"
            found = shape(fields[name].type)
            if found.item is not None and isinstance(given, dict):
                spread[name] = self._each_row(found.item, given, where)
            elif isinstance(given, dict) and set(given) == {"sum"} and found.leaf == "decimal":
                spread[name] = self._sum(given["sum"], where)
            else:
                head[name] = self._node(found, given, where, fields[name].required)
        return head, spread

    def _each_row(self, item: Shape, given: dict[str, Any], where: str) -> Node:
        if self.event.group is None:
            raise MappingError(f"{self.at} {where}: a table here means one item for each row of a `group`")
        one = self._item(item, given, where)

        def items(group: Group) -> object:
            return [found for rows in group if (found := one((rows,))) is not None]

        return items

    def _sum(self, given: object, where: str) -> Node:
        with self._naming(where):
            leaf = self.values.leaf("decimal", given, where)

        def total(group: Group) -> object:
            parts = [Decimal(str(found)) for rows in group if (found := leaf(rows)) is not None]
            return text(sum(parts, Decimal(0))) if parts else None

        return total

    def _node(self, found: Shape, given: object, where: str, required: bool) -> Node:
        if found.item is not None:
            if not isinstance(given, list):
                raise MappingError(f"{self.at} {where}: is a list, so write [ … ]")
            items = [self._item(found.item, one, f"{where}[{n}]") for n, one in enumerate(given)]
            return lambda group: [value for one in items if (value := one(group)) is not None] or None
        if found.structs or found.values is not None:
            if not isinstance(given, dict):
                raise MappingError(f"{self.at} {where}: is a table, so write {{ … }} or [event.{where}]")
            return self._object(found, given, where, required)
        with self._naming(where):
            leaf = self.values.leaf(found.leaf, given, where)
        return lambda group: leaf(group[0])

    def _item(self, found: Shape, given: object, where: str) -> Node:
        """One item of a list; its `where`, if the type has no field of that name, says for which rows."""
        if not isinstance(given, dict) or "where" not in given:
            return self._node(found, given, where, True)
        rest = {name: value for name, value in given.items() if name != "where"}
        with self._naming(f"{where}.where"):
            holds = condition(given["where"], self.column, self.values.numbers)
        node = self._node(found, rest, where, True)
        return lambda group: node(group) if holds(group[0]) else None

    def _object(self, found: Shape, given: dict[str, Any], where: str, required: bool) -> Node:
        nodes: dict[str, Node] = {}
        constants: dict[str, object] = {}
        if found.values is not None:
            for name, value in given.items():
                nodes[name] = self._node(found.values, value, f"{where}.{name}", False)
        else:
            with self._naming(where):
                struct = struct_named(found.structs, given)
            config = struct.__struct_config__
            if config.tag_field and config.tag is not None:
                constants[config.tag_field] = config.tag
            rest = {name: value for name, value in given.items() if name not in constants}
            fields = self._fields(struct, rest, where)
            for name, value in rest.items():
                field = fields[name]
                nodes[name] = self._node(shape(field.type), value, f"{where}.{name}", field.required)

        def build(group: Group) -> object:
            members = {name: value for name, node in nodes.items() if (value := node(group)) is not None}
            return {**constants, **members} if members or required else None

        return build

    def _fields(
        self, struct: type[Struct], given: dict[str, Any], where: str
    ) -> dict[str, msgspec.structs.FieldInfo]:
        fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
        for name in given:
            if name not in fields:
                raise MappingError(f"{self.at} {where}: unknown key {name!r}. {nearest(name, fields)}")
        if missing := [name for name, field in fields.items() if field.required and name not in given]:
            raise MappingError(f"{self.at} {where}: {', '.join(missing)} must be given")
        return fields

    @contextmanager
    def _naming(self, key: str) -> Iterator[None]:
        try:
            yield
        except Flaw as flaw:
            raise MappingError(f"{self.at} {key}: {flaw}") from None


def _cell(row: int, place: int) -> Text:
    def get(rows: Rows) -> str:
        found = rows[row]
        if isinstance(found, Unmappable):
            raise Unmappable(found.reason, found.sample)
        return found[place]

    return get
