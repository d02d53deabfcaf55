"""Patroni with its PostgreSQL, each pair on a machine of its own that can lose power."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import yaml

from tests.acceptance.machine import on_a_machine
from tests.acceptance.postgres import Database, find_binaries, user_id
from tests.harness.client import Answer, Connection, NotSentError
from tests.harness.ports import free_port
from tests.harness.process import EXIT_DEADLINE_S, ServerError, wait_until

SCOPE = "shop"
FOLDER = f"/service/{SCOPE}"
#: The shortest that Patroni allows, so that failovers are seen soon; loop and retry as they fit.
TIMES_S = {"ttl": 20, "loop_wait": 1, "retry_timeout": 5}
#: A database is made or copied, on a busy machine.
BOOT_DEADLINE_S = 90.0
#: The key's life, a round of each, and the promotion.
FAILOVER_DEADLINE_S = 60.0
LOOPBACK = "127.0.0.1"


class Node:
    """One PostgreSQL and the Patroni that runs it."""

    def __init__(self, name: str, directory: Path, etcd: Mapping[str, Any]) -> None:
        """`etcd` is that section of Patroni's configuration."""
        if importlib.util.find_spec("patroni") is None:
            pytest.skip("needs Patroni: make acceptance, or pip install -e '.[dev,acceptance]'")
        self.name = name
        self.directory = directory
        self.log_path = directory / "patroni.log"
        self._api_port, self._port = free_port(), free_port()
        self.database = Database(self._port)
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir()
        (directory / "patroni.yml").write_text(yaml.safe_dump(self._configuration(dict(etcd))))

    def _configuration(self, etcd: dict[str, Any]) -> dict[str, Any]:
        api, address = f"{LOOPBACK}:{self._api_port}", f"{LOOPBACK}:{self._port}"
        return {
            "scope": SCOPE,
            "name": self.name,
            "etcd": etcd,
            "restapi": {"listen": api, "connect_address": api},
            "bootstrap": {
                "dcs": {**TIMES_S, "postgresql": {"use_pg_rewind": True}},
                "initdb": [{"encoding": "UTF8"}, {"auth": "trust"}],
            },
            "postgresql": {
                "listen": address,
                "connect_address": address,
                "data_dir": str(self.directory / "data"),
                "bin_dir": str(find_binaries()),
                "authentication": {
                    "superuser": {"username": "postgres"},
                    "replication": {"username": "copier"},
                },
                "pg_hba": [
                    f"host {what} all {LOOPBACK}/32 trust" for what in ("all", "replication")
                ],
                "parameters": {"unix_socket_directories": "", "shared_buffers": "16MB"},
            },
        }

    def launch(self) -> None:
        """Start the machine; on one that was killed PostgreSQL's files are as they were."""
        command = [sys.executable, "-m", "patroni", str(self.directory / "patroni.yml")]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                on_a_machine(command, user_id()),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Lose power: Patroni and PostgreSQL are gone at once."""
        if self._process is not None and self.is_running:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(EXIT_DEADLINE_S)

    def ask(self, method: str, path: str, body: str | None = None) -> Answer | None:
        """Ask Patroni's own interface; None if it does not answer."""
        try:
            with Connection(f"http://{LOOPBACK}:{self._api_port}", 60.0) as connection:
                return connection.request(method, path, body, {"Content-Type": "application/json"})
        except (NotSentError, OSError):
            return None

    def has_role(self, role: str) -> bool:
        """Tell whether Patroni says that it is `primary` or `replica` and well."""
        answer = self.ask("GET", f"/{role}")
        return answer is not None and answer.status == 200

    def wait_role(self, role: str, deadline_s: float) -> None:
        """Wait until `has_role`.  Raises: ServerError with the end of the log."""
        self.wait(lambda: self.has_role(role), deadline_s, f"{self.name} is {role}")

    def wait_takes(self, statement: str, deadline_s: float) -> None:
        """Wait until the database executes a statement.  Raises: ServerError."""
        self.wait(lambda: self.database.takes(statement), deadline_s, f"{self.name}: {statement}")

    def wait(self, condition: Any, deadline_s: float, what: str) -> None:
        """Wait for a condition of this node.  Raises: ServerError with the end of the log."""
        try:
            wait_until(condition, deadline_s, what)
        except ServerError as error:
            raise ServerError(f"{error}\n{self.log_tail()}") from None

    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace")

    def log_tail(self, lines_max: int = 40) -> str:
        return "\n".join(self.log_text().splitlines()[-lines_max:])


class Pair:
    """Two nodes of one scope; `primary` and `replica` are who had the role last."""

    def __init__(self, directory: Path, etcd: Mapping[str, Any]) -> None:
        self.primary = Node("one", directory / "one", etcd)
        self.replica = Node("two", directory / "two", etcd)

    def swap(self) -> None:
        """Note that the replica has taken over."""
        self.primary, self.replica = self.replica, self.primary

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for node in (self.primary, self.replica):
            node.kill()
