"""A proxy as a process, of either kind, in front of members of either kind."""

from collections.abc import Sequence
from pathlib import Path

from tests.harness.client import Connection, NotSentError
from tests.harness.process import Kind, Limits, Member


class Proxy(Member):
    """A proxy that knows `members` by their peer URLs; started and stopped as a member is."""

    def __init__(
        self,
        kind: Kind,
        directory: Path,
        members: Sequence[Member],
        *options: str,
        mode: str = "on",
        name: str = "proxy",
        limits: Limits | None = None,
    ) -> None:
        super().__init__(kind, directory, *options, name=name, limits=limits)
        self._members = tuple(members)
        self._mode = mode

    @property
    def initial_cluster(self) -> str:
        """The members that it asks first."""
        return ",".join(f"{member.name}={member.advertised_peer_url}" for member in self._members)

    def arguments(self) -> list[str]:
        """Return the whole command line."""
        return [
            *self.kind.command(),
            *(("--proxy", self._mode) if self._mode else ()),
            "--data-dir",
            str(self.data_dir),
            "--listen-client-urls",
            self.client_url,
            *(("--initial-cluster", self.initial_cluster) if self._members else ()),
            *self.options,
        ]

    def is_ready(self) -> bool:
        """Tell whether clients are served, with or without a member behind."""
        try:
            with Connection(self.client_url, deadline_s=2.0) as connection:
                return connection.request("GET", "/v2/config/local/proxy").status == 200
        except (NotSentError, OSError):
            return False

    def endpoints_are_known(self) -> bool:
        """Tell whether it has found a member that it can reach."""
        return bool(self.endpoints())

    def endpoints_are_unknown(self) -> bool:
        """Tell whether it has nobody to ask."""
        return not self.endpoints()

    def endpoints(self) -> list[str]:
        """Return the members' URLs that it sends requests to now."""
        found: list[str] = self.request("GET", "/v2/config/local/proxy").json()["endpoints"]
        return found
