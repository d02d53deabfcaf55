"""Clusters over TLS: certificates that change under load, and those that members make themselves.

Source: spec/tls.md sections 4 and 5.
"""

import threading
from pathlib import Path

import pytest

from tests.harness.certificates import client_context
from tests.harness.process import READY_DEADLINE_S, Kind, wait_until
from tests.harness.secure import UNANSWERED, Files, SecureCluster, SecureMember


class Writer(threading.Thread):
    """Writes to one member over and over, each time on a connection of its own."""

    def __init__(self, member: SecureMember) -> None:
        super().__init__(daemon=True)
        self._member = member
        self._is_over = threading.Event()
        self.done = 0
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._is_over.is_set():
            try:
                with self._member.connect() as connection:
                    for _ in range(5):
                        path = f"/v2/keys/{self._member.name}"
                        answer = connection.request("PUT", path, {"value": str(self.done)})
                        assert answer.status in (200, 201), answer
                        self.done += 1
            except (*UNANSWERED, AssertionError) as error:
                self.failures.append(repr(error))

    def finish(self) -> None:
        self._is_over.set()
        self.join()


def test_certificates_and_authority_are_renewed_under_load_without_one_failed_request(
    tmp_path: Path,
) -> None:
    files = Files.make(tmp_path / "files")
    options = [*files.flags(), *files.flags("peer-")]
    # The tests' client keeps its certificate; it trusts whoever it meets.
    trusted = client_context(None, files.client)
    with SecureCluster(Kind.ETCDPY, tmp_path, 3, *options, tls=trusted).start() as cluster:
        writers = [Writer(member) for member in cluster.members]
        for writer in writers:
            writer.start()
        wait_until(lambda: all(w.done > 20 for w in writers), READY_DEADLINE_S, "writes")
        files.renew()
        counts = [writer.done for writer in writers]
        wait_until(
            lambda: all(w.done > n + 50 for w, n in zip(writers, counts, strict=True)),
            READY_DEADLINE_S,
            "writes with other certificates",
        )
        for writer in writers:
            writer.finish()
        assert [writer.failures for writer in writers] == [[], [], []]
        # A member that comes back shows the new certificate, and is shown new ones.
        cluster.members[0].kill()
        cluster.members[0].start()
        assert cluster.members[1].request("PUT", "/v2/keys/end", {"value": "1"}).status == 201
        cluster.wait_agreed("/end", "1")


def test_members_make_their_own_certificates(tmp_path: Path) -> None:
    options = ["--auto-tls", "--peer-auto-tls"]
    anybody = client_context(None)
    with SecureCluster(Kind.ETCDPY, tmp_path, 3, *options, tls=anybody).start() as cluster:
        assert cluster.members[0].request("PUT", "/v2/keys/a", {"value": "1"}).status == 201
        cluster.wait_agreed("/a", "1")


@pytest.mark.parametrize("scheme", ["unix", "unixs"])
def test_members_meet_on_unix_sockets(tmp_path: Path, scheme: str) -> None:
    files = Files.make(tmp_path / "files")
    cluster = SecureCluster(
        Kind.ETCDPY, tmp_path, 3, *files.flags(), *files.flags("peer-"), tls=files.context()
    )
    # One working directory for all, since that is where the sockets are.
    for member in cluster.members:
        member.directory = tmp_path
    peers = [f"m{n}={scheme}://localhost:{n + 1}" for n in range(3)]
    for member, peer in zip(cluster.members, peers, strict=True):
        member.peers = peers
        url = peer.partition("=")[2]
        member.options = (
            *member.options,
            f"--listen-peer-urls={url}",
            f"--initial-advertise-peer-urls={url}",
        )
    with cluster.start():
        assert cluster.members[0].request("PUT", "/v2/keys/a", {"value": "1"}).status == 201
        cluster.wait_agreed("/a", "1")
        assert {f"localhost:{n}" for n in (1, 2, 3)} <= {path.name for path in tmp_path.iterdir()}
