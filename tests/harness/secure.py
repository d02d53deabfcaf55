"""Servers that speak TLS, to clients and to each other; of either program."""

import http.client
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.certificates import Authority, Pair, client_context
from tests.harness.client import Connection, NotSentError
from tests.harness.process import READY_DEADLINE_S, Kind, Member, wait_until

UNANSWERED = (NotSentError, OSError, http.client.HTTPException)


class SecureMember(Member):
    """A member whose clients' side speaks TLS, and whose peers' side does if asked."""

    def __init__(
        self,
        kind: Kind,
        directory: Path,
        *options: str,
        tls: ssl.SSLContext,
        has_peer_tls: bool = False,
        **others: Any,
    ) -> None:
        """`tls` is with what the tests ask it; `others` are a member's."""
        super().__init__(kind, directory, *options, **others)
        self.tls = tls
        self.has_peer_tls = has_peer_tls
        self.peers: Sequence[str] = ()

    @property
    def client_url(self) -> str:
        return f"https://127.0.0.1:{self.client_port}"

    @property
    def peer_url(self) -> str:
        scheme = "https" if self.has_peer_tls else "http"
        return f"{scheme}://127.0.0.1:{self.peer_port}"

    @property
    def initial_cluster(self) -> str:
        return ",".join(self.peers) or super().initial_cluster

    def connect(self, tls: ssl.SSLContext | None = None, *, deadline_s: float = 10.0) -> Connection:
        """Return a connection, by default with the certificate that every test may use."""
        return Connection(self.client_url, deadline_s, tls or self.tls)

    def is_ready(self) -> bool:
        try:
            return super().is_ready()
        except http.client.HTTPException:  # cut in the middle of a handshake
            return False


@dataclass(slots=True)
class Files:
    """An authority, the certificate that all servers use, and the one of the tests' client."""

    authority: Authority
    server: Pair
    client: Pair

    @staticmethod
    def make(directory: Path) -> "Files":
        directory.mkdir(parents=True, exist_ok=True)
        authority = Authority(directory)
        return Files(
            authority,
            authority.issue("server", "server", dns=("localhost",)),
            authority.issue("client", "client"),
        )

    def context(self) -> ssl.SSLContext:
        return client_context(self.authority, self.client)

    def flags(self, prefix: str = "") -> list[str]:
        """Return the flags of one side with verified clients; `prefix` is `` or `peer-`."""
        return [
            *self.server.flags(prefix),
            f"--{prefix}trusted-ca-file={self.authority.path}",
            f"--{prefix}client-cert-auth",
        ]

    def renew(self) -> None:
        """Replace certificates by those of another authority, each file in one step.

        The authorities' file holds both authorities from then on, as an operator would have it.
        """
        fresh = Files.make(self.authority.directory / "next")
        old = self.authority.path.read_bytes()
        self.authority.path.write_bytes(old + fresh.authority.path.read_bytes())
        for mine, new in ((self.server, fresh.server), (self.client, fresh.client)):
            new.cert.replace(mine.cert)
            new.key.replace(mine.key)
        fresh.authority.path = self.authority.path


class SecureCluster:
    """Members that found a cluster over TLS."""

    def __init__(self, kind: Kind, directory: Path, size: int, *options: str, tls: ssl.SSLContext):
        self.members = [
            SecureMember(
                kind, directory / f"m{n}", *options, name=f"m{n}", tls=tls, has_peer_tls=True
            )
            for n in range(size)
        ]
        self.introduce()

    def introduce(self) -> None:
        """Tell each member of all."""
        peers = [f"{member.name}={member.peer_url}" for member in self.members]
        for member in self.members:
            member.peers = peers

    def start(self) -> Self:
        for member in self.members:
            member.launch()
        for member in self.members:
            member.wait_ready(READY_DEADLINE_S)
        return self

    def wait_agreed(self, path: str, value: str) -> None:
        """Wait until every member has `value` at `path`."""

        def is_agreed() -> bool:
            return all(
                m.request("GET", f"/v2/keys{path}").json().get("node", {}).get("value") == value
                for m in self.members
            )

        wait_until(is_agreed, READY_DEADLINE_S, "all members agree")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for member in self.members:
            member.kill()
