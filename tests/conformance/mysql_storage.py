"""A look at a MySQL database past the adapter, shared by the suites of its repositories."""

import threading
import time
from collections.abc import Sequence
from typing import Any

from tests.mysql_servers import MySQLSettings


class MySQLTables:
    """A migrated, empty database."""

    def __init__(self, settings: MySQLSettings) -> None:
        self.settings = settings

    def query(self, sql: str, *parameters: Any) -> Sequence[tuple[Any, ...]]:
        return self.settings.query(sql, *parameters)

    def count(self, *tables: str) -> int:
        """How many rows these tables have."""
        return sum(self.query(f"SELECT COUNT(*) FROM {table}")[0][0] for table in tables)

    def open_handles(self) -> int:
        """Threads of the adapter, and connections that the server still has once it had time to notice their end."""
        threads = sum(thread.name.startswith("mysql-") for thread in threading.enumerate())
        end = time.monotonic() + 5
        while (connections := self.settings.connections()) and time.monotonic() < end:
            time.sleep(0.01)
        return threads + connections
