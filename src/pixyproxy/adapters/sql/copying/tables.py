"""The tables of a database, as the database itself describes them."""

from typing import NamedTuple

from pixyproxy.adapters.sql.session import Parameters, Row, Session

_NOT_COPIED = frozenset({"schema_migrations", "store_identity", "maintenance_leases", "ledger_lock"})
_PARENTS = ("images", "roster")
"""Tables to which foreign keys of others refer."""


class Table(NamedTuple):
    """A table with its columns, those of its key, and the column of ids by which it is read in parts, None: whole."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    @property
    def id_column(self) -> str | None:
        """The column of ids in whose order the table is copied; a table without one is small."""
        return next((name for name in ("id", "image_id") if name in self.columns), None)

    @property
    def select(self) -> str:
        """The beginning of a query for rows."""
        return f"SELECT {', '.join(f'`{column}`' for column in self.columns)} FROM {self.name}"

    @property
    def insert(self) -> str:
        """The statement that adds a row."""
        names, values = (", ".join(form.format(name) for name in self.columns) for form in ("`{}`", ":{}"))
        return f"INSERT INTO {self.name} ({names}) VALUES ({values})"

    @property
    def delete(self) -> str:
        """The statement that deletes a row by its key."""
        return f"DELETE FROM {self.name} WHERE " + " AND ".join(f"`{name}` = :{name}" for name in self.key)

    def values(self, row: Row) -> Parameters:
        """Return the parameters of a row."""
        return dict(zip(self.columns, row, strict=True))


def tables_of(session: Session) -> dict[str, Table]:
    """Return the tables that are copied, those first to which others refer."""
    columns: dict[str, list[str]] = {}
    keys: dict[str, list[tuple[int, str]]] = {}
    for table, column, place in session.fetch(session.describe_tables, {}):
        if table not in _NOT_COPIED:
            columns.setdefault(table, []).append(column)
            if place:
                keys.setdefault(table, []).append((int(place), column))
    found = [
        Table(name, tuple(sorted(own)), tuple(column for _, column in sorted(keys.get(name, []))))
        for name, own in columns.items()
    ]
    return {table.name: table for table in sorted(found, key=lambda table: (table.name not in _PARENTS, table.name))}
