"""Members that are told where to meet, instead of whom: by a discovery URL or by a domain."""

from pathlib import Path

from tests.harness.dns import NameServer
from tests.harness.process import Kind, Member

DOMAIN = "ex.test"


class MeetingMember(Member):
    """A member that finds the others by itself; with `names` it asks that name server only."""

    def __init__(
        self,
        kind: Kind,
        directory: Path,
        *options: str,
        name: str,
        names: NameServer | None = None,
        scheme: str = "http",
        trusted: Path | None = None,
    ) -> None:
        """`trusted` is a file with the authorities that the system of this member trusts."""
        self._names = names
        self._scheme = scheme
        self._trusted = trusted
        super().__init__(kind, directory, *options, name=name)

    @property
    def host(self) -> str:
        """What the others call this member's machine."""
        return f"{self.name}.{DOMAIN}" if self._names else "127.0.0.1"

    @property
    def peer_url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.peer_port}"

    @property
    def advertised_peer_url(self) -> str:
        return f"{self._scheme}://{self.host}:{self.peer_port}"

    @property
    def initial_cluster(self) -> str:
        """Nothing: that is what there is to find out."""
        return ""

    def arguments(self) -> list[str]:
        """Return the whole command line."""
        command = super().arguments()
        return self._names.private(*command) if self._names else command

    def environment(self) -> dict[str, str]:
        """Return the environment of the process."""
        environment = super().environment()
        if self._trusted is not None:
            environment["SSL_CERT_FILE"] = str(self._trusted)
        return environment
