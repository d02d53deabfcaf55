"""TLS on both sides of a proxy, with both kinds of members behind it.

Source: spec/tls.md, spec/cluster.md section 9.
"""

import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.harness.certificates import client_context
from tests.harness.client import Connection
from tests.harness.process import READY_DEADLINE_S, Kind, Member, wait_until
from tests.harness.proxy import Proxy
from tests.harness.secure import UNANSWERED, Files, SecureMember


class SecureProxy(Proxy):
    """A proxy that serves https."""

    def __init__(
        self,
        kind: Kind,
        directory: Path,
        members: Sequence[Member],
        *options: str,
        tls: ssl.SSLContext,
    ) -> None:
        super().__init__(kind, directory, members, *options)
        self.tls = tls

    @property
    def client_url(self) -> str:
        return f"https://127.0.0.1:{self.client_port}"

    def is_ready(self) -> bool:
        try:
            with Connection(self.client_url, 2.0, self.tls) as connection:
                answer = connection.request("GET", "/v2/config/local/proxy")
                return answer.status == 200 and bool(answer.json()["endpoints"])
        except UNANSWERED:
            return False


@pytest.mark.parametrize("kind", [Kind.ETCDPY, pytest.param(Kind.ETCD, marks=pytest.mark.live)])
@pytest.mark.parametrize("is_coalescing", [False, True])
def test_the_files_for_clients_count_on_both_sides(
    tmp_path: Path, kind: Kind, is_coalescing: bool
) -> None:
    if not kind.is_present():
        pytest.skip("the real etcd is not on PATH")
    files = Files.make(tmp_path / "files")
    options = [*files.flags(), *files.flags("peer-")]
    own = [*options, "--proxy-coalesce"] if is_coalescing else options
    with (
        SecureMember(
            kind, tmp_path / "member", *options, tls=files.context(), has_peer_tls=True
        ) as member,
        SecureProxy(Kind.ETCDPY, tmp_path, [member], *own, tls=files.context()) as proxy,
    ):
        member.start()
        proxy.start()
        with (
            Connection(proxy.client_url, 10.0, proxy.tls) as client,
            Connection(proxy.client_url, 10.0, proxy.tls) as watcher,
        ):
            watch = watcher.open("GET", "/v2/keys/a?wait=true")
            assert watch.status == 200
            assert client.request("PUT", "/v2/keys/a", {"value": "1"}).status == 201
            assert b'"value":"1"' in watch.read()
            assert client.request("GET", "/v2/keys/a").json()["node"]["value"] == "1"
        stranger = client_context(files.authority)
        with Connection(proxy.client_url, 10.0, stranger) as client, pytest.raises(UNANSWERED):
            client.request("GET", "/v2/keys/a")
        wait_until(lambda: proxy.is_running, READY_DEADLINE_S, "it goes on")
