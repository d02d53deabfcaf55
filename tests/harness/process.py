"""A server as a process: started, awaited, stopped, killed; never left behind.

A child dies with the thread that started it (`child.py`), so that a killed or interrupted test
run leaves nothing; therefore start members from the main thread.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.client import Answer, Connection, NotSentError
from tests.harness.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
READY_DEADLINE_S = 30.0
EXIT_DEADLINE_S = 20.0
POLL_S = 0.02


class Kind(StrEnum):
    """Which program: ours or the reference."""

    ETCDPY = "etcdpy"
    ETCD = "etcd"

    def command(self) -> list[str]:
        """Return the words that start the program, before its flags."""
        if self is Kind.ETCDPY:
            return [sys.executable, "-m", "etcdpy"]
        return [shutil.which("etcd") or "etcd", "--enable-v2"]

    def is_present(self) -> bool:
        return self is Kind.ETCDPY or shutil.which("etcd") is not None


class ServerError(Exception):
    """The server did not do what the harness waited for; the text ends with its log."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the kernel is to hold the process to; 0 leaves it as it is."""

    file_size_bytes: int = 0
    open_files: int = 0


def wait_until(condition: Callable[[], bool], deadline_s: float, what: str) -> None:
    """Poll `condition` until it holds.  Raises: ServerError naming `what` after `deadline_s`."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise ServerError(f"{what}: not within {deadline_s:g} s")
        time.sleep(POLL_S)


class Member:
    """One server process with its directory; can be started again after it ended.

    `ctl_flags` and `python_options` are what etcdctl and python-etcd need beside the address.
    """

    ctl_flags: Sequence[str] = ()
    python_options: Mapping[str, Any] = {}

    def __init__(
        self,
        kind: Kind,
        directory: Path,
        *options: str,
        name: str = "m1",
        limits: Limits | None = None,
        data_dir: Path | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.kind = kind
        self.name = name
        self.directory = directory
        self.data_dir = data_dir or directory / "data"
        self.log_path = directory / f"{name}.log"
        self.options = options
        self.limits = limits or Limits()
        self._process: subprocess.Popen[bytes] | None = None
        self._has_booted = False
        self._take_ports()

    def _take_ports(self) -> None:
        self.client_port = free_port()
        self.peer_port = free_port()

    @property
    def client_url(self) -> str:
        return f"http://127.0.0.1:{self.client_port}"

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def advertised_peer_url(self) -> str:
        """Where the other members are told to reach this one."""
        return self.peer_url

    @property
    def initial_cluster(self) -> str:
        """The members that found the cluster, or that make it up when this one joins."""
        return f"{self.name}={self.advertised_peer_url}"

    @property
    def pid(self) -> int:
        """The process's id.  Raises: ServerError when it is not running."""
        if self._process is None:
            raise ServerError(f"{self.name} is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def has_died(self) -> bool:
        """Whether it ran once and does not run now."""
        return self._process is not None and not self.is_running

    def arguments(self) -> list[str]:
        """Return the whole command line."""
        return [
            *self.kind.command(),
            "--name",
            self.name,
            "--data-dir",
            str(self.data_dir),
            "--listen-client-urls",
            self.client_url,
            "--advertise-client-urls",
            self.client_url,
            "--listen-peer-urls",
            self.peer_url,
            "--initial-advertise-peer-urls",
            self.advertised_peer_url,
            "--initial-cluster",
            self.initial_cluster,
            *self.options,
        ]

    def environment(self) -> dict[str, str]:
        """Return the environment of the process: without settings, with our sources."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
        path = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{path}" if path else str(ROOT)
        return environment

    def launch(self) -> None:
        """Start the process and return at once."""
        assert not self.is_running, "already running"
        with self.log_path.open("ab") as log:
            self._log_offset = log.tell()
            self._process = subprocess.Popen(
                tied(self.arguments(), self.limits),
                cwd=self.directory,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self, deadline_s: float = READY_DEADLINE_S) -> Self:
        """Start the process and wait until it answers; a port lost to a race is tried again."""
        for _ in range(5):
            self.launch()
            try:
                self.wait_ready(deadline_s)
            except ServerError:
                if self._has_booted or "address already in use" not in self.log_text().lower():
                    self.kill()
                    raise
                self.kill()
                shutil.rmtree(self.data_dir, ignore_errors=True)
                self._take_ports()
            else:
                self._has_booted = True
                return self
        raise ServerError("no port was free five times in a row")

    def wait_ready(self, deadline_s: float = READY_DEADLINE_S) -> None:
        """Wait until the cluster version is decided and reads of keys are answered."""

        def is_settled() -> bool:
            return not self.is_running or self.is_ready()

        try:
            wait_until(is_settled, deadline_s, f"{self.name} ready")
        except ServerError as error:
            raise ServerError(f"{error}\n{self.log_tail()}") from None
        if not self.is_running:
            assert self._process is not None
            code = self._process.returncode
            raise ServerError(f"{self.name} exited with {code}\n{self.log_tail()}")

    def is_ready(self) -> bool:
        """Tell whether the member serves clients and has an agreed cluster version."""
        try:
            with self.connect(deadline_s=2.0) as connection:
                version = connection.request("GET", "/version")
                if version.status != 200 or version.json()["etcdcluster"] == "not_decided":
                    return False
                return connection.request("GET", "/v2/keys/").index > 0
        except (NotSentError, OSError, ValueError, KeyError):
            return False

    def connect(self, *, deadline_s: float = 10.0) -> Connection:
        """Return a connection on which anything may be asked."""
        return Connection(self.client_url, deadline_s)

    def request(
        self, method: str, path: str, form: dict[str, str] | None = None, deadline_s: float = 10.0
    ) -> Answer:
        """Send one request on a connection of its own."""
        with self.connect(deadline_s=deadline_s) as connection:
            return connection.request(method, path, form)

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait_exit(self, deadline_s: float = EXIT_DEADLINE_S) -> int:
        """Wait for the process's end and return its code: negative for a signal."""
        if self._process is None:
            raise ServerError(f"{self.name} was never started")
        try:
            return self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise ServerError(
                f"{self.name} did not end within {deadline_s:g} s\n{self.log_tail()}"
            ) from None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask the process to end and return its code."""
        self.send_signal(number)
        return self.wait_exit()

    def kill(self) -> None:
        """End the process as power loss would: nothing of it runs any more."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(EXIT_DEADLINE_S)

    def log_text(self) -> str:
        """Return what the process has written since it was last started."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_offset)
            return log.read().decode(errors="replace")

    def log_tail(self, lines_max: int = 40) -> str:
        """Return the last lines of the log, with a head that says whose they are."""
        if not self.log_path.exists():
            return f"--- {self.kind} {self.name}: no log"
        lines = self.log_path.read_text(errors="replace").splitlines()[-lines_max:]
        return "\n".join([f"--- {self.kind} {self.name}, end of its log:", *lines])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


class Launcher:
    """Makes members below one directory and ends them all; `make` is the kind of member."""

    def __init__(self, kind: Kind, directory: Path, make: Callable[..., Member] = Member) -> None:
        self.kind = kind
        self.directory = directory
        self.make = make
        self.members: list[Member] = []

    def __call__(
        self,
        *options: str,
        kind: Kind | None = None,
        limits: Limits | None = None,
        data_dir: Path | None = None,
    ) -> Member:
        """Return a member that is not started yet."""
        directory = self.directory / str(len(self.members))
        member = self.make(kind or self.kind, directory, *options, limits=limits, data_dir=data_dir)
        self.members.append(member)
        return member

    def close(self) -> None:
        for member in self.members:
            member.kill()


def tied(command: Sequence[str], limits: Limits | None = None) -> list[str]:
    """Return `command` run through `child.py`: it ends when this process does."""
    held = limits or Limits()
    words = [str(os.getpid()), str(held.file_size_bytes), str(held.open_files)]
    program = str(Path(__file__).with_name("child.py"))
    return [sys.executable, "-I", "-S", program, *words, *command]  # no site: half of its start


def kinds_present() -> Sequence[Kind]:
    """Return the servers that can be run here."""
    return [kind for kind in Kind if kind.is_present()]
