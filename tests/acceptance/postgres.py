"""PostgreSQL as the acceptance tests see it: what must be installed, and one database's answers."""

import pwd
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest

from tests.harness.background import Background

BINARIES = "/usr/lib/postgresql"
#: How often the writer writes.
PAUSE_S = 0.05
CONNECT_S = 2


def find_binaries() -> Path:
    """Return the folder of Debian's newest PostgreSQL; the test is skipped if there is none."""
    found = sorted(Path(BINARIES).glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip("needs PostgreSQL's server: apt-get install postgresql")
    return found[-1].parent


def user_id() -> int:
    """Return the id that PostgreSQL shall see itself run by: it refuses root's."""
    return pwd.getpwnam("postgres").pw_uid


class Database:
    """The database behind one port: asked on a connection of its own each time."""

    def __init__(self, port: int) -> None:
        self._psycopg: Any = pytest.importorskip("psycopg", reason="needs psycopg: make acceptance")
        self._address = {
            "host": "127.0.0.1",
            "port": port,
            "user": "postgres",
            "dbname": "postgres",
            "connect_timeout": CONNECT_S,
            "autocommit": True,
        }

    def connect(self) -> Any:
        """Return an open connection that commits each statement.  Raises: psycopg.Error."""
        return self._psycopg.connect(**self._address)

    @property
    def error(self) -> type[Exception]:
        """What a refused or unanswered statement raises."""
        found: type[Exception] = self._psycopg.Error
        return found

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement and return its rows.  Raises: psycopg.Error."""
        with self.connect() as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def takes(self, statement: str) -> bool:
        """Tell whether the statement was executed, which writes are on a primary only."""
        with suppress(self.error):
            self.ask(statement)
            return True
        return False

    def values(self) -> list[int]:
        """Return what is in the table `seen`, nothing if it cannot be read."""
        with suppress(self.error):
            return [row[0] for row in self.ask("SELECT value FROM seen ORDER BY value")]
        return []


class Writer(Background):
    """Writes on one connection, again and again, and remembers every refusal: a thread."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.written = 0
        self.slowest_s = 0.0
        self._database = database

    def _run(self) -> None:
        try:
            with self._database.connect() as connection:
                while not self._ending.wait(PAUSE_S):
                    begin = time.monotonic()
                    connection.execute("INSERT INTO written DEFAULT VALUES")
                    in_recovery = connection.execute("SELECT pg_is_in_recovery()").fetchone()[0]
                    if in_recovery:
                        self.problems.append("the primary was demoted")
                    self.slowest_s = max(self.slowest_s, time.monotonic() - begin)
                    self.written += 1
        except self._database.error as error:
            self.problems.append(f"after {self.written} writes: {error}")

    def __enter__(self) -> Self:
        self._database.ask("CREATE TABLE IF NOT EXISTS written (at timestamp DEFAULT now())")
        return super().__enter__()
