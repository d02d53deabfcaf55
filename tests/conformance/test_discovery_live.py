"""Members that find each other, beside the real etcd: each as the registry of the other's cluster.

Source: spec/cluster.md section 4.
"""

import json
import re
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.harness.certificates import SERVER_AUTH, Authority
from tests.harness.client import Connection
from tests.harness.dns import NameServer
from tests.harness.meeting import DOMAIN, MeetingMember
from tests.harness.process import Kind, Member, wait_until

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not Kind.ETCD.is_present(), reason="the real etcd is not on PATH"),
]

KEYS = "/v2/keys"
SIZE = 3
EXIT = "--discovery-fallback=exit"
#: How long a line of the log, or the end of a process, may take to come.
SAID_S = 20.0
#: Lines that say what happens on the way into a cluster, or why it ends.
_LINE = re.compile(r"^\S+ \S+ ([CEWNI] \| (?:discovery|etcdmain|embed): .*)$", re.MULTILINE)
_UNRELATED = re.compile(
    r"etcd\w* Version|Git SHA|Go Version|Go OS|maximum number of CPUs|embed: (name|data dir"
    r"|member dir|heartbeat|election|snapshot count|advertise client URLs) ?=|listening for"
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    """A real etcd, at which members of both kinds register."""
    with Member(Kind.ETCD, tmp_path_factory.mktemp("registry")) as member:
        yield member.start()


@pytest.fixture
def started(tmp_path: Path) -> Iterator["Started"]:
    with ExitStack() as stack:
        yield Started(tmp_path, stack)


class Started:
    """Members of one test, ended with it."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.stack = stack
        self.count = 0

    def member(
        self, kind: Kind, *options: str, name: str = "m", **settings: object
    ) -> MeetingMember:
        """Return a member that runs, and may not be ready for long."""
        self.count += 1
        directory = self.directory / f"{self.count}-{kind}"
        member = MeetingMember(kind, directory, *options, name=name, **settings)  # type: ignore[arg-type]
        self.stack.enter_context(member)
        member.launch()
        return member


def lines_of(member: Member) -> list[str]:
    """Return what a member has said of its way into a cluster."""
    found = _LINE.findall(member.log_text())
    return [line for line in found if not _UNRELATED.search(line)]


def told_alike(member: Member) -> list[str]:
    """Return the same with what is a member's own taken out."""
    text = "\n".join(lines_of(member))
    text = text.replace(str(member.directory), "<dir>").replace(str(member.peer_port), "<port>")
    text = re.sub(r"found self [0-9a-f]+", "found self <id>", text)
    return re.sub(r"\[\d+\]\)", "[<index>])", text).splitlines()


def wait_for_line(member: Member, text: str, count: int = 1) -> None:
    def is_said() -> bool:
        return member.log_text().count(text) >= count or not member.is_running

    wait_until(is_said, SAID_S, f"{text!r} in the log")
    assert member.log_text().count(text) >= count, member.log_tail()


def put(registry: Member, key: str, value: str) -> None:
    assert registry.request("PUT", f"{KEYS}/{key}", {"value": value}).status < 300


Prepare = Callable[[Member, str], Sequence[str]]


def size(text: str, *values: str) -> Prepare:
    """Make a meeting of that size, where these have registered already."""

    def prepare(registry: Member, token: str) -> Sequence[str]:
        put(registry, f"{token}/_config/size", text)
        for number, value in enumerate(values):
            put(registry, f"{token}/{number}", value)
        return ["--discovery", f"{registry.client_url}{KEYS}/{token}", EXIT]

    return prepare


def at(url: str, *options: str) -> Prepare:
    return lambda registry, token: ["--discovery", url.format(registry.client_url), *options, EXIT]


REFUSED: dict[str, Prepare] = {
    "size is no number": size("x"),
    "size is signed": size("+1"),
    "size is too large": size(str(2**64)),
    "full": size("1", "a=http://127.0.0.1:1"),
    "a bad URL": size("2", "foo"),
    "a name twice": size("2", "m=http://127.0.0.1:1"),
    "a URL twice": size("3", "a=http://127.0.0.1:1", "b=http://127.0.0.1:1"),
    "no size": at("{}/v2/keys/nowhere"),
    "no registry": at("{}/version"),
    "no page": at("{}/nothing"),
    "no URL": at("http://a b/x"),
    "with initial-cluster": at("{}/v2/keys/x", "--initial-cluster", "m=http://127.0.0.1:1"),
    "with a domain": at("{}/v2/keys/x", "--discovery-srv", DOMAIN),
    "existing": at("{}/v2/keys/x", "--initial-cluster-state", "existing"),
    "a suffix alone": lambda registry, token: ["--discovery-srv-name", "x"],
}


def short(cases: Iterable[str], *long: str) -> list[Any]:
    """Return cases, those of the soak marked: `tests/startup` has the words of these too."""
    return [pytest.param(each, marks=[pytest.mark.soak] if each in long else []) for each in cases]


@pytest.mark.parametrize(
    "case",
    short(
        REFUSED,
        *("size is signed", "size is too large", "a name twice", "no page", "with a domain"),
    ),
)
def test_what_is_refused_is_refused_in_etcds_words(
    registry: Member, started: Started, case: str
) -> None:
    sides = []
    for kind in Kind:
        token = f"refused/{case.replace(' ', '-')}/{kind}"
        options = REFUSED[case](registry, token)
        sides.append((started.member(kind, *options), token))
    codes = [member.wait_exit(SAID_S) for member, _ in sides]
    ours, theirs = (
        [line.replace(token, "<token>") for line in told_alike(member)] for member, token in sides
    )
    assert ours == theirs
    assert ours
    assert codes == [1, 1]


def test_who_has_registered_and_lost_its_data_is_told_so(
    registry: Member, started: Started
) -> None:
    """And who waits says for whom, until all have come."""
    told = []
    for number, kind in enumerate(Kind):
        token = f"again/{number}"
        member = started.member(kind, *size("2")(registry, token))
        wait_for_line(member, "waiting for 1 more")
        waiting = told_alike(member)
        member.kill()
        shutil.rmtree(member.data_dir)
        member.launch()
        assert member.wait_exit(SAID_S) == 1
        told.append([line.replace(token, "<token>") for line in [*waiting, *told_alike(member)]])
    assert told[0] == told[1]
    assert any("has previously registered" in line for line in told[0])


def test_who_cannot_reach_the_registry_tries_again_and_joins_when_it_can(
    tmp_path: Path, started: Started
) -> None:
    """Through a proxy that does not listen, too."""
    registry = Member(Kind.ETCDPY, tmp_path / "late")
    started.stack.enter_context(registry)
    registry.start()
    url = f"{registry.client_url}{KEYS}/late"
    kinds = list(Kind)
    for kind in kinds:
        put(registry, f"late/{kind}/_config/size", "1")
    registry.stop()
    alone = [started.member(kind, "--discovery", f"{url}/{kind}", EXIT) for kind in kinds]
    dead = ["--discovery", f"{url}/never", "--discovery-proxy", "127.0.0.1:1", EXIT]
    proxied = [started.member(kind, *dead) for kind in kinds]
    for member in alone + proxied:
        wait_for_line(member, "retrying in 2s")
    for members in (alone, proxied):
        said = [told_alike(member)[:3] for member in members]
        assert [line.replace("etcdpy", "etcd") for line in said[0]] == said[1]
    registry.start()
    for member in alone:
        member.wait_ready()


def test_a_registry_that_says_nothing_is_given_up(started: Started) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        members = [started.member(kind, "--discovery", url, EXIT) for kind in Kind]
        assert [member.wait_exit(SAID_S) for member in members] == [1, 1]
    ours, theirs = map(told_alike, members)
    assert ours == theirs


@pytest.mark.parametrize("registry_kind", list(Kind))
def test_three_meet_and_the_fourth_finds_it_full(
    tmp_path: Path, started: Started, registry_kind: Kind
) -> None:
    """Real members at our registry, ours at a real one."""
    options = ["--discovery-service"] if registry_kind is Kind.ETCDPY else []
    registry = Member(registry_kind, tmp_path / "registry", *options)
    started.stack.enter_context(registry)
    registry.start()
    if registry_kind is Kind.ETCDPY:
        kind = Kind.ETCD
        answer = registry.request("GET", f"/new?size={SIZE}")
        assert answer.status == 200
        url = answer.body.decode()
        assert url.startswith(f"{registry.client_url}{KEYS}/_etcd/registry/")
    else:
        kind = Kind.ETCDPY
        put(registry, "t/_config/size", str(SIZE))
        url = f"{registry.client_url}{KEYS}/t"
    members = [
        started.member(kind, "--discovery", url, name=f"m{number}") for number in range(SIZE)
    ]
    for member in members:
        member.wait_ready()
    assert names_of_cluster(members[0]) == [f"m{number}" for number in range(SIZE)]
    wrote = members[0].request("PUT", f"{KEYS}/x", {"value": "1"})
    # Three records, three names, the version: 2N+1; the user's first write is the next.
    assert wrote.index == 2 * SIZE + 2
    fourth = started.member(kind, "--discovery", url, EXIT, name="m4")
    assert fourth.wait_exit(SAID_S) == 1
    said = "failed to join discovery cluster (discovery: cluster is full)"
    assert any(said in line for line in lines_of(fourth))
    # Who has data needs no registry any more.
    registry.kill()
    members[0].stop()
    members[0].start()
    assert "discovery token ignored since a cluster has already been" in members[0].log_text()


def names_of_cluster(member: Member) -> list[str]:
    with Connection(member.client_url, SAID_S) as connection:
        answer = connection.request("GET", "/v2/members")
    return sorted(listed["name"] for listed in json.loads(answer.body)["members"])


# Domains


@pytest.fixture
def names(tmp_path: Path) -> Iterator[NameServer]:
    directory = tmp_path / "names"
    directory.mkdir()
    with NameServer(directory) as server:
        server.private("true")  # skips where processes cannot be given a server of their own
        yield server


def list_members(
    names: NameServer, members: Sequence[MeetingMember], service: str, suffix: str = ""
) -> None:
    for member in members:
        names.add(member.host, "A", "127.0.0.1")
        record = f"0 0 {member.peer_port} {member.host}."
        names.add(f"_{service}{suffix}._tcp.{DOMAIN}", "SRV", record)


@pytest.mark.parametrize("kind", [Kind.ETCDPY, pytest.param(Kind.ETCD, marks=pytest.mark.soak)])
def test_three_meet_at_a_domain_and_trust_who_is_certified_for_it(
    tmp_path: Path, names: NameServer, kind: Kind
) -> None:
    """Without a peer CA the system's authorities count, and the name is the domain."""
    authority = Authority(tmp_path)
    pair = authority.issue("server", dns=(DOMAIN,), ips=(), usages=(SERVER_AUTH,))
    with ExitStack() as stack:
        members = [
            MeetingMember(
                kind,
                tmp_path / f"m{number}",
                *("--discovery-srv", DOMAIN, "--discovery-srv-name", "try"),
                *pair.flags("peer-"),
                name=f"m{number}",
                names=names,
                scheme="https",
                trusted=authority.path,
            )
            for number in range(SIZE)
        ]
        list_members(names, members, "etcd-server-ssl", "-try")
        for member in members:
            stack.enter_context(member).launch()
        for member in members:
            member.wait_ready()
        assert names_of_cluster(members[0]) == [f"m{number}" for number in range(SIZE)]
        assert members[1].request("PUT", f"{KEYS}/x", {"value": "1"}).index == 2 * SIZE + 2
        own = f"got bootstrap from DNS for etcd-server at m0={members[0].advertised_peer_url}"
        assert own in members[0].log_text()


def test_records_for_http_count_as_well(tmp_path: Path, names: NameServer) -> None:
    """Of etcd 3.4 they do not, against its own documentation."""
    with ExitStack() as stack:
        members = [
            MeetingMember(
                Kind.ETCDPY,
                tmp_path / f"m{number}",
                *("--discovery-srv", DOMAIN),
                name=f"m{number}",
                names=names,
            )
            for number in range(SIZE)
        ]
        list_members(names, members, "etcd-server")
        for member in members:
            stack.enter_context(member).launch()
        for member in members:
            member.wait_ready()
        assert names_of_cluster(members[0]) == [f"m{number}" for number in range(SIZE)]


SSL = f"_etcd-server-ssl._tcp.{DOMAIN}"
#: Records, by which both find nobody, or not themselves.
RECORDS: dict[str, list[tuple[str, str, str]]] = {
    "nothing": [],
    "no record": [(SSL, "A", "127.0.0.1")],
    "another scheme": [(SSL, "SRV", f"0 0 {{port}} m.{DOMAIN}.")],
    "another scheme, and others": [
        (SSL, "SRV", f"0 0 {{port}} m.{DOMAIN}."),
        (SSL, "SRV", f"1 0 1 other.{DOMAIN}."),
        (SSL, "SRV", f"2 0 2 other.{DOMAIN}."),
    ],
    "a target without an address": [(SSL, "SRV", f"0 0 {{port}} nobody.{DOMAIN}.")],
    "others": [(SSL, "SRV", f"0 0 1 other.{DOMAIN}."), (SSL, "SRV", f"1 0 1 none.{DOMAIN}.")],
    "more than a datagram": [
        (SSL, "SRV", f"{priority} 0 {priority + 1} other.{DOMAIN}.") for priority in range(40)
    ],
}


NO_OWN_ADDRESS = "an own host without an address"
SERVER_FAILS = "a server that fails"


@pytest.mark.parametrize(
    "case",
    short(
        [*RECORDS, NO_OWN_ADDRESS, SERVER_FAILS],
        *("no record", "another scheme", "a target without an address"),
    ),
)
def test_records_of_no_use_are_refused_in_etcds_words(
    names: NameServer, started: Started, case: str
) -> None:
    told = []
    for kind in Kind:
        directory = started.directory / kind
        options = ("--discovery-srv", DOMAIN)
        member = MeetingMember(kind, directory, *options, name="m", names=names)
        started.stack.enter_context(member)
        names.clear()
        if case == SERVER_FAILS:
            names.failing.add("SRV")
        if case != NO_OWN_ADDRESS:
            names.add(member.host, "A", "127.0.0.1")
        names.add(f"other.{DOMAIN}", "A", "127.0.0.2")
        for name, kind_of_record, value in RECORDS.get(case, []):
            names.add(name, kind_of_record, value.format(port=member.peer_port))
        member.launch()
        assert member.wait_exit(SAID_S) == 1, member.log_tail()
        told.append(told_alike(member))
    ours, theirs = told
    assert ours == theirs
    assert ours
