"""A member that finds its cluster full becomes that cluster's proxy, and stays one.

Source: spec/cluster.md sections 4.1 and 9.
"""

from pathlib import Path

import pytest

from tests.harness.process import Kind, Member, wait_until
from tests.harness.proxy import Proxy

DEADLINE_S = 30.0


class Latecomer(Proxy):
    """A founder that is one too many."""

    def __init__(self, kind: Kind, directory: Path, url: str, *options: str) -> None:
        super().__init__(kind, directory, [], f"--discovery={url}", *options, mode="")

    def arguments(self) -> list[str]:
        peer = ["--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url]
        return [*super().arguments(), "--name", "late", *peer]


@pytest.mark.parametrize(
    "kind", [Kind.ETCDPY, pytest.param(Kind.ETCD, marks=[pytest.mark.live, pytest.mark.soak])]
)
def test_one_too_many_is_a_proxy_from_then_on(tmp_path: Path, kind: Kind) -> None:
    if not kind.is_present():
        pytest.skip("the real etcd is not on PATH")
    with Member(kind, tmp_path / "member") as member:
        member.start()
        own = member.request("GET", "/v2/members").json()["members"][0]
        meeting = "/v2/keys/meeting"
        member.request("PUT", f"{meeting}/_config/size", {"value": "1"})
        pair = {"value": f"{member.name}={member.peer_url}"}
        member.request("PUT", f"{meeting}/{own['id']}", pair)
        url = f"{member.client_url}{meeting}"
        with Latecomer(Kind.ETCDPY, tmp_path, url) as late:
            late.start()
            wait_until(late.endpoints_are_known, DEADLINE_S, "the member is known")
            assert late.request("PUT", "/v2/keys/a", {"value": "1"}).status == 201
            assert "discovery cluster full, falling back to proxy" in late.log_text()
            late.stop()
            member.request("DELETE", f"{meeting}?recursive=true")
            late.start()
            wait_until(late.endpoints_are_known, DEADLINE_S, "the member is known again")
            assert "discovery token ignored since the proxy" in late.log_text()
        with Latecomer(Kind.ETCDPY, tmp_path / "2", url, "--discovery-fallback=exit") as refused:
            member.request("PUT", f"{meeting}/_config/size", {"value": "1"})
            member.request("PUT", f"{meeting}/{own['id']}", pair)
            refused.options += ("--advertise-client-urls", refused.client_url)
            refused.launch()
            assert refused.wait_exit() == 1
            assert "discovery: cluster is full" in refused.log_text()
