"""The same bytes to etcdpy and to etcd: the faces beside the keys API, and the edges of HTTP.

What may differ is in `differences`, and is checked to differ.
"""

import json
import re
from collections.abc import Iterator

import pytest

from tests.conformance import differences
from tests.conformance.side_by_side import Pair, normal, running_pair
from tests.harness.process import Kind, Member
from tests.http.rawsocket import FORM_HEAD, put, request

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if not Kind.ETCD.is_present():
        pytest.skip("the real etcd is not on PATH")
    with running_pair(tmp_path_factory.mktemp("pair")) as both:
        yield both


PATHS = (
    "/version",
    "/health",
    "/v2/machines",
    "/v2/members",
    "/v2/members/",
    "/v2/members/leader",
    "/v2/stats/self",
    "/v2/stats/leader",
    "/v2/stats/store",
    "/v2/members/leader/",
    "/v2/members/zz",
    "/v2/members/123",
    "/v2/stats",
    "/v2/stats/",
    "/v2/stats/self/",
    "/v2/machines/",
    "/v2/membersx",
    "/v2",
    "/v2/",
    "/",
    "/version/",
    "/health/",
    "//version",
    "/v2//members",
    "/v2/./stats/self",
    "/v2/keys/../members",
    "/v2/members?x=1",
    "/version?x=%zz",
    "/health?exclude=NOSPACE",
)
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO")


def test_an_id_with_a_zero_in_front_is_no_difference_but_a_wrong_length_is() -> None:
    def answer(own_id: bytes, length: int) -> str:
        return normal(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (length, own_id))

    assert answer(b"8e9e05c52164694d", 16) == answer(b"e9e05c52164694d", 15)
    assert answer(b"8e9e05c52164694d", 16) != answer(b"e9e05c52164694d", 16)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_faces_answer_alike(pair: Pair, method: str, path: str) -> None:
    data = request(method.encode(), path.encode())
    is_store = path == "/v2/stats/store" and method == "GET"
    ours, theirs = pair.ask(data)
    if is_store:  # how many reads came before depends on the order of the tests
        ours, theirs = (_without_numbers(text) for text in (ours, theirs))
    assert ours == theirs


def _without_numbers(text: str) -> str:
    head, _, body = text.partition("\r\n\r\n")
    return head + "".join(json.loads(body))


@pytest.mark.parametrize("path", ["/members", "/version", "/", "/health", "/v2/keys", "/members/"])
@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "OPTIONS"])
def test_the_peer_port_answers_alike(pair: Pair, method: str, path: str) -> None:
    data = request(method.encode(), path.encode())
    ours, theirs = pair.ask(data, is_peer=True, half_close=True)
    if (method, path) == ("HEAD", "/members"):  # the length of a list with the mark in it
        ours, theirs = (re.sub(r"(?<=Length: )\d+", "<length>", text) for text in (ours, theirs))
    if (method, path) == ("GET", "/members"):
        assert differences.JOINERS_MARK in ours
        ours = ours.replace(differences.JOINERS_MARK, "")
    assert ours == theirs


KEY = b"/v2/keys/edge"
EDGES = {
    "http 1.0": b"GET /v2/keys/none HTTP/1.0\r\n\r\n",
    "http 1.0 redirect": b"GET /v2/keys//none HTTP/1.0\r\n\r\n",
    "no host": b"GET /v2/keys/none HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /v2/keys/none HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "bad escape": request(target=b"/v2/keys/%zz"),
    "lone percent": request(target=b"/v2/keys/a%"),
    "control byte": request(target=b"/v2/keys/a\x01b"),
    "raw utf-8": request(target="/v2/keys/é☃?x=é".encode()),
    "raw utf-8 redirect": request(target="/v2/keys//é".encode()),
    "raw invalid utf-8": request(target=b"/v2/keys/\xff\xfe"),
    "raw punctuation": request(target=b"/v2/keys/<>{}^[]|\"`'"),
    "space": b"GET /v2/keys/a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "fragment": request(target=b"/v2/keys/a#b?c"),
    "absolute": request(target=b"http://foo:1/v2/keys/none"),
    "absolute without path": request(target=b"http://foo"),
    "no slash": request(target=b"foo"),
    "asterisk": request(target=b"*"),
    "options asterisk": request(b"OPTIONS", b"*"),
    "connect": request(b"CONNECT", b"/v2/keys/a"),
    "connect unclean": request(b"CONNECT", b"/v2/keys//a"),
    "lower-case method": request(b"get", b"/v2/keys/a"),
    "strange method": request(b"M-SEARCH", b"/v2/keys/a"),
    "bad method": request(b"G(T", b"/v2/keys/a"),
    "http 2": b"GET /v2/keys/a HTTP/2.0\r\nHost: x\r\n\r\n",
    "http 0.9": b"GET /v2/keys/a\r\n\r\n",
    "garbage": b"garbage\r\n\r\n",
    "header without colon": request(headers=b"nothing\r\n"),
    "header with a space": request(headers=b"a b: c\r\n"),
    "bad length": request(b"PUT", KEY, b"Content-Length: x\r\n"),
    "negative length": request(b"PUT", KEY, b"Content-Length: -1\r\n"),
    "unknown encoding": request(b"PUT", KEY, FORM_HEAD + b"Transfer-Encoding: foo\r\n"),
    "other expectation": put(KEY, b"value=1", b"Expect: else\r\n"),
    "continue": put(KEY, b"prevExist=x", b"Expect: 100-continue\r\n"),
    "continue, not read": request(b"PUT", KEY + b"?ttl=x", b"Expect: 100-continue\r\n", b"x"),
    "continue, bad type": request(
        b"PUT", KEY, b"Content-Type: bad bad\r\nExpect: 100-continue\r\n", b"x"
    ),
    "same parameter twice": request(
        b"PUT", KEY + b"?ttl=x", FORM_HEAD[:-2] + b"; a=1; a=1\r\n", b""
    ),
    "other parameter twice": request(
        b"PUT", KEY + b"?ttl=x", FORM_HEAD[:-2] + b"; a=1; a=2\r\n", b""
    ),
    "quoted parameter": request(b"PUT", KEY, FORM_HEAD[:-2] + b'; a="x\\"; y"\r\n', b"ttl=x"),
    "open quote": request(b"PUT", KEY, FORM_HEAD[:-2] + b'; a="x\r\n', b"ttl=x"),
    "no subtype": request(b"PUT", KEY, b"Content-Type: text/\r\n", b"ttl=x"),
    "type alone": request(b"PUT", KEY + b"?ttl=x", b"Content-Type: text\r\n", b""),
    "escape of a control": put(KEY, b"value=%\x01\x02"),
    "escape of raw bytes": put(KEY, b"value=%\xff\xc3\xa9"),
    "escape of a quote": put(KEY, b'value=%"\\'),
    "unclean with a page": request(target=b"/v2/keys//a'<>&\"?q='<>&%22"),
    "unclean head": request(b"HEAD", b"/v2/keys//a"),
    "upgrade": request(headers=b"Upgrade: websocket\r\n"),
    "accept": request(
        target=b"/v2/keys/none", headers=b"Accept: text/html\r\nRange: bytes=0-1\r\n"
    ),
}


@pytest.mark.parametrize("case", EDGES)
@pytest.mark.parametrize("half_close", [False, True])
def test_edges_of_http_are_answered_alike(pair: Pair, case: str, half_close: bool) -> None:
    ours, theirs = pair.ask(EDGES[case], half_close=half_close)
    assert ours == theirs


@pytest.mark.parametrize("data", [put(KEY, b"value=1")[:-3], request(b"PUT", KEY, FORM_HEAD)])
def test_truncated_bodies_are_answered_alike(pair: Pair, data: bytes) -> None:
    ours, theirs = pair.ask(data.replace(b"Connection: close\r\n", b""), half_close=True)
    assert ours.startswith("HTTP/1.1 ")
    assert ours == theirs


COUNTED = (
    ("PUT", "/a", "value=1"),
    ("PUT", "/a", "value=2"),
    ("GET", "/a", None),
    ("HEAD", "/a", None),
    ("GET", "/none", None),
    ("HEAD", "/none", None),
    ("GET", "/a?quorum=true", None),
    ("GET", "/none?quorum=true", None),
    ("PUT", "/a/b", "value=1"),
    ("PUT", "/", "value=1"),
    ("PUT", "/d", "dir=true"),
    ("PUT", "/d", "dir=true"),
    ("PUT", "/none", "ttl=5&refresh=true"),
    ("PUT", "/c", "value=1&prevExist=false"),
    ("PUT", "/c", "value=1&prevExist=false"),
    ("PUT", "/", "prevExist=false"),
    ("POST", "/q", "value=1"),
    ("POST", "/a", "value=1"),
    ("PUT", "/c", "value=1&prevExist=true"),
    ("PUT", "/none", "value=1&prevExist=true"),
    ("PUT", "/d", "value=1&prevExist=true"),
    ("PUT", "/", "prevExist=true"),
    ("PUT", "/c", "value=2&prevValue=1"),
    ("PUT", "/c", "value=2&prevValue=1"),
    ("PUT", "/none", "value=2&prevValue=1"),
    ("PUT", "/d", "value=2&prevValue=1"),
    ("PUT", "/", "value=2&prevValue=1"),
    ("DELETE", "/none", None),
    ("DELETE", "/d", None),
    ("DELETE", "/q?dir=true", None),
    ("DELETE", "/", None),
    ("DELETE", "/a/b", None),
    ("DELETE", "/c?prevValue=x", None),
    ("DELETE", "/d?prevValue=x", None),
    ("DELETE", "/none?prevValue=x", None),
    ("DELETE", "/c?prevValue=2", None),
    ("DELETE", "/d?dir=true", None),
    ("DELETE", "/q?recursive=true", None),
    ("GET", "/a?wait=true&waitIndex=4", None),
    ("PUT", "/a", "ttl=x"),
    ("PATCH", "/a", None),
    ("GET", "//a", None),
)


def _store_stats(member: Member) -> dict[str, int]:
    stats: dict[str, int] = member.request("GET", "/v2/stats/store").json()
    return stats


def test_operation_counters_move_alike(pair: Pair) -> None:
    """Both members count what every request does, odd outcomes included."""
    before = [_store_stats(member) for member in (pair.etcdpy, pair.etcd)]
    for method, path, body in COUNTED:
        target = f"/v2/keys/counted{path}".removesuffix("/") if path != "/" else "/v2/keys/"
        if path == "//a":
            target = "/v2/keys//a"
        data = request(method.encode(), target.encode())
        if body is not None:
            data = request(method.encode(), target.encode(), FORM_HEAD, body.encode())
        pair.ask(data)
        after = [_store_stats(member) for member in (pair.etcdpy, pair.etcd)]
        moved = [
            {name: new[name] - old[name] for name in new}
            for old, new in zip(before, after, strict=True)
        ]
        assert moved[0] == moved[1], f"{method} {path} {body}"
        assert list(after[0]) == list(after[1])
        before = after


def test_a_fresh_member_has_the_counters_of_etcd(tmp_path_factory: pytest.TempPathFactory) -> None:
    if not Kind.ETCD.is_present():
        pytest.skip("the real etcd is not on PATH")
    with running_pair(tmp_path_factory.mktemp("fresh")) as fresh:
        ours, theirs = (_store_stats(member) for member in (fresh.etcdpy, fresh.etcd))
        for stats in (ours, theirs):  # start_fresh reads the root until it is there
            del stats["getsSuccess"], stats["getsFail"]
        assert ours == theirs
