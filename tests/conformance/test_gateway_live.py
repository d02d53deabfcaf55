"""`gateway start` beside the real etcd's: what is refused, found, passed on, and said.

Source: spec/cluster.md section 10.
"""

import contextlib
import io
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from etcdpy import cli
from tests.harness.certificates import SERVER_AUTH, Authority, client_context
from tests.harness.dns import NameServer
from tests.harness.meeting import DOMAIN
from tests.harness.ports import free_port
from tests.harness.process import Kind, Member, tied, wait_until
from tests.harness.secure import SecureMember

pytestmark = [
    pytest.mark.live,
    pytest.mark.usefixtures("kept_logging"),
    pytest.mark.skipif(not Kind.ETCD.is_present(), reason="the real etcd is not on PATH"),
]

DEADLINE_S = 30.0
OWN = "127.0.0.1:23790"
REFUSED = [
    "start --foo",
    "foo",
    "-x",
    "--help start",
    "-h",
    "start -h",
    "start --endpoints",
    "start --retry-delay abc",
    "start --retry-delay 90",
    "start --retry-delay 5x",
    "start --retry-delay=",
    "start --retry-delay=1.5.h",
    "start --insecure-discovery=maybe",
    "start extra --listen-addr foo",
    "start --endpoints foo",
    "start --endpoints http://foo",
    "start --endpoints a:b:c",
    "start --endpoints=",
    "start --endpoints nosuch.invalid:1",
    "start --listen-addr nosuch.invalid:1",
    "start --listen-addr=:23790",
    "start --listen-addr 127.0.0.1:2379",
    f"start --listen-addr {OWN} --endpoints https://{OWN}/x,127.0.0.1:1",
    "start --listen-addr 127.0.0.1:abc --endpoints 127.0.0.1:1",
    "start --listen-addr 192.0.2.1:5",
    "start --discovery-srv nosuch.invalid",
    "--foo start",
    "--endpoints x start",
    "start ---a",
    "start -endpoints a",
]


def command(kind: Kind) -> list[str]:
    return [word for word in kind.command() if word != "--enable-v2"] + ["gateway"]


def test_what_is_refused_is_refused_in_etcds_words() -> None:
    with ThreadPoolExecutor(2) as pool:
        theirs = list(pool.map(ask_theirs, REFUSED))
    wanted = dict(zip(REFUSED, theirs, strict=True))
    found = {line: ask_ours(line) for line in REFUSED}
    assert found == wanted


def ask_theirs(line: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*command(Kind.ETCD), *line.split()],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def ask_ours(line: str) -> tuple[int, str, str]:
    """Return what our command says, without a process of its own."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(["gateway", *line.split()])
    shown = [text.getvalue().replace("etcdpy", "etcd") for text in (out, err)]
    return code, shown[0], shown[1]


class Gateway:
    """A gateway as a process."""

    def __init__(
        self, kind: Kind, directory: Path, *flags: str, names: NameServer | None = None
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = directory / f"gateway-{kind}.log"
        words = [*command(kind), "start", f"--listen-addr=127.0.0.1:{self.port}", *flags]
        environment = Member(kind, directory / kind).environment()
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                tied(names.private(*words) if names else words),
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def lines(self) -> list[dict[str, Any]]:
        """Return what it has said, without what is its own."""
        said = [json.loads(line) for line in self.log_path.read_text().splitlines()]
        for line in said:
            assert isinstance(line.pop("ts"), float)
            assert re.fullmatch(r"\w+/\w+\.\w+:\d+", line.pop("caller"))
        return said

    def wait_for(self, text: str) -> None:
        def is_said() -> bool:
            return text in self.log_path.read_text() or self.process.poll() is not None

        wait_until(is_said, DEADLINE_S, f"{text!r} in {self.log_path.read_text()}")
        assert text in self.log_path.read_text()


@contextmanager
def gateways(
    directory: Path, *flags: str, names: NameServer | None = None
) -> Iterator[Sequence[Gateway]]:
    """Run one of each kind, ours first."""
    both = [Gateway(kind, directory, *flags, names=names) for kind in Kind]
    try:
        for gateway in both:
            gateway.wait_for("ready to proxy client requests")
        yield both
    finally:
        for gateway in both:
            gateway.process.terminate()
        codes = [gateway.process.wait(DEADLINE_S) for gateway in both]
    assert codes == [-15, -15]


def ask_through(gateway: Gateway, member: Member) -> int:
    """Return the status of a read through a gateway."""
    through = Member(member.kind, member.directory)
    through.client_port = gateway.port
    return through.request("GET", "/v2/keys/").status


def test_a_member_is_reached_left_out_and_reached_again(tmp_path: Path) -> None:
    with Member(Kind.ETCDPY, tmp_path / "m") as member:
        member.start()
        dead = f"127.0.0.1:{free_port()}"
        alive = f"http://127.0.0.1:{member.client_port}"
        flags = (f"--endpoints={dead},{alive}", "--retry-delay=300ms")
        with gateways(tmp_path, *flags) as both:
            for gateway in both:
                for _ in range(3):
                    assert ask_through(gateway, member) == 200
                gateway.wait_for("deactivated endpoint")
            member.kill()
            for gateway in both:
                with pytest.raises(OSError):  # noqa: PT011 - closed or reset
                    ask_through(gateway, member)
            member.start()
            for gateway in both:
                gateway.wait_for('"msg":"activated"')
                assert ask_through(gateway, member) == 200
            ours, theirs = (gateway.lines() for gateway in both)
        kinds = [{json.dumps(line, sort_keys=True) for line in lines} for lines in (ours, theirs)]
        assert kinds[0] == kinds[1]
        assert ours[:2] == theirs[:2]


@pytest.fixture
def names(tmp_path: Path) -> Iterator[NameServer]:
    directory = tmp_path / "names"
    directory.mkdir()
    with NameServer(directory) as server:
        server.private("true")  # skips where processes cannot be given a server of their own
        server.add(f"n.{DOMAIN}", "A", "127.0.0.1")
        yield server


def test_a_domain_names_endpoints_by_priority(tmp_path: Path, names: NameServer) -> None:
    with Member(Kind.ETCD, tmp_path / "m") as member:
        member.start()
        near, far = member.client_port, free_port()
        names.add(f"_etcd-client-x._tcp.{DOMAIN}", "SRV", f"1 5 {far} n.{DOMAIN}.")
        names.add(f"_etcd-client-x._tcp.{DOMAIN}", "SRV", f"0 5 {near} n.{DOMAIN}.")
        flags = ("--discovery-srv", DOMAIN, "--discovery-srv-name=x", "--insecure-discovery")
        with gateways(tmp_path, *flags, names=names) as both:
            for gateway in both:
                assert [ask_through(gateway, member) for _ in range(3)] == [200] * 3
            ours, theirs = (gateway.lines() for gateway in both)
        assert ours == theirs
        assert ours[-1]["endpoints"] == [f"n.{DOMAIN}.:{near}", f"n.{DOMAIN}.:{far}"]


def is_serving(member: Member) -> bool:
    return "ready to serve" in member.log_text()


def test_of_a_domain_only_the_proven_are_used(tmp_path: Path, names: NameServer) -> None:
    """Ours asks for a certificate for the domain, of etcd's a connection is enough."""
    authority = Authority(tmp_path)
    pair = authority.issue("good", dns=(DOMAIN,), ips=("127.0.0.1",), usages=(SERVER_AUTH,))
    stranger = authority.issue("bad", dns=("other.test",), usages=(SERVER_AUTH,))
    members = [
        SecureMember(
            Kind.ETCDPY, tmp_path / name, *one.flags(), name=name, tls=client_context(authority)
        )
        for name, one in (("good", pair), ("bad", stranger))
    ]
    with members[0] as good, members[1] as bad:
        for member in (good, bad):
            member.launch()
            service = f"_etcd-client-ssl._tcp.{DOMAIN}"
            names.add(service, "SRV", f"0 0 {member.client_port} n.{DOMAIN}.")
        names.add(f"_etcd-client._tcp.{DOMAIN}", "SRV", f"0 0 1 n.{DOMAIN}.")
        for member in (good, bad):
            wait_until(partial(is_serving, member), DEADLINE_S, "ready")
        flags = ("--discovery-srv", DOMAIN, f"--trusted-ca-file={authority.path}")
        with gateways(tmp_path, *flags, names=names) as both:
            ours, theirs = (gateway.lines() for gateway in both)
    assert ours[-1]["endpoints"] == [f"n.{DOMAIN}.:{good.client_port}"]
    warned, warned_there = ours[-2], theirs[-2]
    assert warned["msg"] == warned_there["msg"] == "failed to validate discovered endpoints"
    insecure = f'"http://n.{DOMAIN}.:1" is insecure'
    assert warned_there["error"] == insecure
    assert warned["error"].endswith(f",{insecure}")
    assert f'"https://n.{DOMAIN}.:{bad.client_port}" failed to dial (' in warned["error"]
