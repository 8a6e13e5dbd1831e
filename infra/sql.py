"""The statements of both dialects, each written once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from infra.tables import POSTGRESQL, POSTGRESQL_TYPES, Codec, Column


def quoted(names: Iterable[str]) -> str:
    """Column names as SQL, some of which are words of SQL."""
    return ", ".join(f'"{name}"' for name in names)


class Sql:
    """The statements that differ between the dialects. Bulk values travel as one JSON array."""

    def __init__(self, dialect: str) -> None:
        self.postgresql = dialect == POSTGRESQL

    def marked(self, sql: str) -> str:
        return sql.replace("?", "%s") if self.postgresql else sql

    def _values(self, columns: Sequence[Column]) -> str:
        return self._given([(c.name, c.kind) for c in columns])

    def _given(self, kinds: Sequence[tuple[str, str]]) -> str:
        if not self.postgresql:
            return ", ".join(
                f"json_extract(value, '$[{i}]') AS \"{name}\"" for i, (name, _) in enumerate(kinds)
            )
        return ", ".join(
            f'(value->>{i})::{POSTGRESQL_TYPES.get(kind, "text")} AS "{name}"'
            for i, (name, kind) in enumerate(kinds)
        )

    def given(self, codec: Codec) -> str:
        """The rows of one JSON array parameter as if they were stored."""
        return f"SELECT {self._values(codec.columns)} FROM {self.each}"

    @property
    def each(self) -> str:
        """The rows of one JSON array parameter, as `value`."""
        return "json_array_elements(CAST(%s AS json))" if self.postgresql else "json_each(?)"

    @property
    def numbers(self) -> str:
        """A query of the whole numbers of one JSON array parameter."""
        return f"SELECT {'value::text::bigint' if self.postgresql else 'value'} FROM {self.each}"

    def load(self, table: str, codec: Codec) -> str:
        names = quoted(c.name for c in codec.columns)
        key = quoted(codec.table.key)
        wanted = self._values(codec.columns[: codec.key_width])
        return f"SELECT {names} FROM {table} WHERE ({key}) IN (SELECT {wanted} FROM {self.each})"

    def scan(self, table: str, codec: Codec, width: int, bounds: Sequence[str]) -> str:
        names = quoted(c.name for c in codec.columns)
        key = codec.table.key
        mark = "%s" if self.postgresql else "?"
        where = [f'"{name}" = {mark}' for name in key[:width]] + [
            f'"{key[width]}" {op} {mark}' for op in bounds
        ]
        return f"SELECT {names} FROM {table} WHERE {' AND '.join(where)} ORDER BY {quoted(key)}"

    @staticmethod
    def replacing(names: Sequence[str], key: Sequence[str]) -> str:
        """What ends an INSERT: a row under a key that is there takes the new values, if there are any."""
        changed = [f'"{name}" = excluded."{name}"' for name in names if name not in key]
        done = f"UPDATE SET {', '.join(changed)}" if changed else "NOTHING"
        return f"ON CONFLICT ({quoted(key)}) DO {done}"

    def delete(self, table: str, codec: Codec) -> str:
        key = quoted(codec.table.key)
        gone = self._values(codec.columns[: codec.key_width])
        return f"DELETE FROM {table} WHERE ({key}) IN (SELECT {gone} FROM {self.each})"
