"""The same changes of members to a single etcdpy and to a single etcd, to the byte.

`@id` and `@url` in a request stand for the asked member's own id and peer URL, which differ.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.conformance.side_by_side import Pair, normal, running_pair
from tests.harness.process import Kind, Member
from tests.http.rawsocket import exchange, request

pytestmark = pytest.mark.live

MEMBERS = b"/v2/members"
OWN = MEMBERS + b"/@id"
JSON = b"Content-Type: application/json\r\n"
NOT_STARTED = "etcdserver: re-configuration failed due to not enough started members"
OTHER = b'{"peerURLs":["http://other.example:1"]}'


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two members that lose no quorum: nothing is added to them."""
    _skip_without_etcd()
    with running_pair(tmp_path_factory.mktemp("members")) as both:
        yield both


def _skip_without_etcd() -> None:
    if not Kind.ETCD.is_present():
        pytest.skip("the real etcd is not on PATH")


def listed(member: Member) -> list[dict[str, object]]:
    """Return the members that a member lists."""
    members: list[dict[str, object]] = member.request("GET", "/v2/members").json()["members"]
    return members


class Ask(NamedTuple):
    """One request; `cut` bytes of it are never sent."""

    method: bytes
    target: bytes
    headers: bytes = JSON
    body: bytes | None = None
    is_last: bool = True
    cut: int = 0


class Asker:
    """Asks both members of a pair the same thing, each in its own name."""

    def __init__(self, pair: Pair) -> None:
        self.members = (pair.etcdpy, pair.etcd)
        self._ids = [str(listed(member)[0]["id"]).encode() for member in self.members]

    def __call__(self, ask: Ask) -> tuple[str, str]:
        """Return what etcdpy and etcd answer."""
        ours, theirs = (
            _answer(member, ask._replace(target=ask.target.replace(b"@id", own_id)))
            for member, own_id in zip(self.members, self._ids, strict=True)
        )
        return ours, theirs

    def listed(self) -> tuple[str, str]:
        """Return both lists of members, without what differs between any two."""
        return self(Ask(b"GET", MEMBERS))


def _answer(member: Member, ask: Ask) -> str:
    body = ask.body and ask.body.replace(b"@url", member.peer_url.encode())
    data = request(ask.method, ask.target, ask.headers, body, is_last=ask.is_last)
    half_close = not ask.is_last or ask.cut > 0
    data = data[: len(data) - ask.cut]
    reply = exchange(member.client_port, data, half_close=half_close)
    return normal(reply.data)


@pytest.fixture(scope="module")
def asker(pair: Pair) -> Asker:
    return Asker(pair)


# What is refused before the cluster is asked

TYPES = {
    "none": b"",
    "empty": b"Content-Type:\r\n",
    "form": b"Content-Type: application/x-www-form-urlencoded\r\n",
    "upper case": b"Content-Type: Application/JSON\r\n",
    "upper case with a parameter": b"Content-Type: Application/JSON; charset=utf-8\r\n",
    "json": JSON,
    "semicolon": b"Content-Type: application/json ;\r\n",
    "comma": b"Content-Type: application/json,text/plain\r\n",
    "escaped": b"Content-Type: <json>&\r\n",
    "two": b"Content-Type: text/plain\r\nContent-Type: application/json\r\n",
    "two, json first": JSON + b"Content-Type: text/plain\r\n",
    "unicode": b"Content-Type: \xc4\xb0X\xff;\r\n",
    "unicode as it is": b"Content-Type: \xc4\xb0X\xff\r\n",
}
TARGETS = (
    MEMBERS,
    MEMBERS + b"/",
    MEMBERS + b"/zzz",
    MEMBERS + b"/0x12",
    MEMBERS + b"/1_2",
    MEMBERS + b"/+1",
    MEMBERS + b"/%20abc",
    MEMBERS + b"/%ff%3c",
    MEMBERS + b"/leader",
    MEMBERS + b"/abc/",
    MEMBERS + b"/abc/def",
    MEMBERS + b"/10000000000000000",
    MEMBERS + b"/ffffffffffffffff",
    MEMBERS + b"/00000000000000000000ABC",
    MEMBERS + b"/0",
    MEMBERS + b"/1",
    MEMBERS + b"/%61bc?x=y",
    MEMBERS + b"//abc",
    OWN,
)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(("method", "target"), [(b"POST", MEMBERS), (b"PUT", OWN)])
def test_media_types_are_judged_alike(
    asker: Asker, method: bytes, target: bytes, kind: str
) -> None:
    ours, theirs = asker(Ask(method, target, TYPES[kind], b"{}"))
    assert ours == theirs


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"HEAD", b"PATCH"])
@pytest.mark.parametrize("headers", [JSON, b""])
def test_targets_are_judged_alike(
    asker: Asker, method: bytes, target: bytes, headers: bytes
) -> None:
    ours, theirs = asker(Ask(method, target, headers, b'{"peerURLs":["http://a:1/"]}'))
    assert ours == theirs


BODIES = (
    b"",
    b"null",
    b"[]",
    b"1",
    b'"x"',
    b"tru",
    b"{} x",
    b'{"peerURLs":["http://a:1"]',
    b'{"peerURLs":"http://a:1"}',
    b'{"peerURLs":[1]}',
    b'{"peerURLs":[]}',
    b'{"peerURLs":["foo"]}',
    b'{"peerURLs":["http://foo"]}',
    b'{"peerURLs":["http://foo:1/"]}',
    b'{"peerURLs":["http://a:80x"]}',
    b'{"peerURLs":["<&>\\u2028\\ud800\xff"]}',
    b"[" * 10_000,
    b"[" * 10_001,
)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("method", "target"), [(b"POST", MEMBERS), (b"PUT", OWN)])
def test_bodies_are_judged_alike(asker: Asker, method: bytes, target: bytes, body: bytes) -> None:
    ours, theirs = asker(Ask(method, target, body=body))
    assert ours.startswith("HTTP/1.1 400 ")
    assert ours == theirs


HEADS = {
    "read, POST": Ask(b"POST", MEMBERS),
    "read, PUT": Ask(b"PUT", OWN),
    "no id": Ask(b"PUT", MEMBERS),
    "bad id": Ask(b"PUT", MEMBERS + b"/zz"),
    "no type": Ask(b"PUT", OWN, b""),
    "removal": Ask(b"DELETE", MEMBERS + b"/abc"),
}
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
EXPECTING = b"Expect: 100-continue\r\n"
WAYS = {
    "length": (b"", b"{}"),
    "length, asked for": (EXPECTING, b"{}"),
    "no body": (b"", None),
    "no body, asked for": (EXPECTING, None),
    "chunks": (CHUNKED, None),
    "chunks, asked for": (EXPECTING + CHUNKED, None),
    "bad chunks": (CHUNKED.replace(b"2\r", b"x\r"), None),
}


@pytest.mark.parametrize("case", HEADS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cut", [0, 1, 2])
def test_bodies_arrive_alike(asker: Asker, case: str, way: str, cut: int) -> None:
    ask = HEADS[case]
    extra, body = WAYS[way]
    if b"chunked" in extra:  # what follows the head is in `extra`, which must stay last
        extra = b"Connection: close\r\n" + extra
    ask = ask._replace(headers=ask.headers + extra, body=body, cut=cut)
    ours, theirs = asker(ask._replace(is_last=b"chunked" not in extra))
    assert ours == theirs


# What the cluster decides

CHANGES = {
    "update of nobody": (Ask(b"PUT", MEMBERS + b"/abc", body=OTHER), 404),
    "update of id 0": (Ask(b"PUT", MEMBERS + b"/0", body=OTHER), 404),
    "removal of nobody": (Ask(b"DELETE", MEMBERS + b"/abc"), 404),
    "removal of the last": (Ask(b"DELETE", OWN), 500),
    "addition of a known URL": (
        Ask(b"POST", MEMBERS, body=b'{"peerURLs":["http://other.example:1","@url"]}'),
        409,
    ),
    "update to the same": (Ask(b"PUT", OWN, body=b'{"peerURLs":["@url"]}'), 204),
    "update to more": (
        Ask(b"PUT", OWN, body=b'{"peerURLs":["http://z.example:1","@url","@url"]}'),
        204,
    ),
    "update to another": (Ask(b"PUT", OWN, body=OTHER), 204),
    "update by nulls": (
        Ask(b"PUT", OWN, body=b'{"peerURLs":["@url"],"peerURLs":[null]}'),
        204,
    ),
}


@pytest.mark.parametrize("case", CHANGES)
@pytest.mark.parametrize("is_last", [True, False])
def test_changes_are_answered_alike(asker: Asker, case: str, is_last: bool) -> None:
    ask, status = CHANGES[case]
    ours, theirs = asker(ask._replace(is_last=is_last))
    assert theirs.startswith(f"HTTP/1.1 {status} ")
    assert ours == theirs
    ours_listed, theirs_listed = asker.listed()
    assert ours_listed == theirs_listed


def test_an_answer_without_a_body_keeps_an_old_connection(asker: Asker) -> None:
    """HTTP/1.0 asks for a length before a connection is kept, but not where there is no body."""
    answers = []
    for member in asker.members:
        body = b'{"peerURLs":["%b"]}' % member.peer_url.encode()
        own_id = str(listed(member)[0]["id"]).encode()
        head = b"PUT /v2/members/%b HTTP/1.0\r\nConnection: keep-alive\r\n%b" % (own_id, JSON)
        data = head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        reply = exchange(member.client_port, data + b"GET /v2/members/x HTTP/1.0\r\n\r\n")
        answers.append(normal(reply.data))
    ours, theirs = answers
    assert theirs.count("HTTP/1.0 ") == 2
    assert ours == theirs


COUNTED = (
    Ask(b"GET", MEMBERS),
    Ask(b"HEAD", MEMBERS),
    Ask(b"PUT", MEMBERS),
    Ask(b"POST", MEMBERS, b""),
    Ask(b"POST", MEMBERS, body=b"{}"),
    Ask(b"DELETE", OWN),
    Ask(b"DELETE", MEMBERS + b"/abc"),
    Ask(b"PUT", MEMBERS + b"/abc", body=OTHER),
    Ask(b"PUT", OWN, body=OTHER),
    Ask(b"PUT", OWN, body=b'{"peerURLs":["@url"]}'),
    Ask(b"POST", MEMBERS, body=b'{"peerURLs":["@url"]}'),
)


@pytest.mark.parametrize("ask", COUNTED, ids=range(len(COUNTED)))
def test_changes_move_counters_and_index_alike(asker: Asker, ask: Ask) -> None:
    before = [_counted(member) for member in asker.members]
    asker(ask)
    after = [_counted(member) for member in asker.members]
    ours, theirs = (
        {name: new[name] - old[name] for name in new}
        for old, new in zip(before, after, strict=True)
    )
    assert ours == theirs


def _counted(member: Member) -> dict[str, int]:
    """Return the operation counters and the index of the store."""
    stats: dict[str, int] = member.request("GET", "/v2/stats/store").json()
    return stats | {"index": member.request("GET", "/v2/keys/").index}


def test_a_refusal_by_the_cluster_is_logged_alike(asker: Asker) -> None:
    asker(Ask(b"DELETE", OWN))
    for member in asker.members:
        text = member.log_text()
        assert (
            " E | etcdserver/api/v2http: error removing member "
            f"{listed(member)[0]['id']} ({NOT_STARTED})\n"
        ) in text
        assert f" E | etcdserver/api/etcdhttp: {NOT_STARTED}\n" in text


# Bodies that nobody thought of

SEEDS = (
    b'{"peerURLs":["http://a:1"]}',
    b'{"peerURLs":["http://a:1","http://b:2"],"name":"x","n":{"a":[1,2.5e-3,true,null]}}',
    b"null",
    b"[]",
    b"tru",
    b"-0.5e+10",
    b'{"PEERurls":["http://a:1"],"peerURL\xc5\xbf":[null,"https://[::1]:80"]}',
    b' {"peerURLs" : [ "http:\\/\\/a:1" , "\\u0068ttp://\\u00e9\\ud83d\\ude00:1" ] } ',
    b'{"a":{"b":{"c":[[[[]]],{}]}},"peerURLs":null}',
    b'{"peerURLs":[1,"a"]}',
    b'{"peerURLs":["unix://a:0","http://u:p@h:1?q=1#f"]}',
    b'{"peerURLs":["http://a:1","http://b:1"],"peerurls":["http://c:1"],"PeerURLs":[null,null]}',
)
PIECES = (
    *(bytes([byte]) for byte in b"\"\\{}[],: \n\t\v-01x/%@#?'<&\x00\x1f\x7f\x80\xad\xff"),
    *(b"null", b"true", b"false", b"1e", b".5", b"\\u", b"\\ud800", b"\\udc00", b"\\u00e9"),
    *(b'"peerURLs":', b'"peerurl\xc5\xbf":["http://z:9"],', b'"http://q:1",', b"null,"),
    *(b"\xe2\x98", b"\xe2\x98\x83", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xc2\x85", b"\xef\xbf\xbd"),
    *(b"%zz", b"%ff", b"//", b"[::1]", b"%25en0", b"\\n", b'\\"', b"\\\\", b"unix:", b"u:p@"),
)
BODIES_PER_SEED = 400


def mutate(rng: random.Random) -> bytes:
    """Return one of the seeds with a few changes."""
    body = bytearray(rng.choice(SEEDS))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        begin = rng.randrange(len(body) + 1)
        end = min(len(body), begin + rng.choice((1, 1, 1, 2, 4, 8)))
        kind = rng.randrange(5)
        if kind == 0:
            del body[begin:end]
        elif kind == 1:
            del body[begin:]
        elif kind == 2:
            body[begin:begin] = body[end : end + rng.randrange(1, 12)]
        else:
            body[begin : end if kind == 3 else begin] = rng.choice(PIECES)
    return bytes(body)


@pytest.mark.parametrize("seed", range(3))
def test_mutated_bodies_are_judged_alike(asker: Asker, seed: int) -> None:
    rng = random.Random(seed)
    taken = 0
    for step in range(BODIES_PER_SEED):
        body = mutate(rng)
        ours, theirs = asker(Ask(b"PUT", OWN, body=body))
        assert ours == theirs, f"seed {seed}, step {step}: {body!r}"
        if theirs.startswith("HTTP/1.1 204 "):
            taken += 1
            ours, theirs = asker.listed()
            assert ours == theirs, f"seed {seed}, step {step}: {body!r}"
    assert taken > 0


# An addition, after which there is no quorum


def test_an_addition_is_answered_alike(tmp_path_factory: pytest.TempPathFactory) -> None:
    _skip_without_etcd()
    with running_pair(tmp_path_factory.mktemp("added")) as fresh:
        asker = Asker(fresh)
        body = b'{"name":"x","peerURLs":["http://z.example:1","http://b.example:1"]}'
        ours, theirs = asker(Ask(b"POST", MEMBERS + b"/anything", body=body))
        assert theirs.startswith("HTTP/1.1 201 ")
        assert ours == theirs
        for member in asker.members:
            added = [row for row in listed(member) if not row["name"]]
            assert [row["peerURLs"] for row in added] == [
                ["http://b.example:1", "http://z.example:1"]
            ]
            assert [row["clientURLs"] for row in added] == [[]]
        second = Ask(b"POST", MEMBERS, body=OTHER)
        ours, theirs = asker(second)
        assert theirs.startswith("HTTP/1.1 500 ")
        assert ours == theirs
