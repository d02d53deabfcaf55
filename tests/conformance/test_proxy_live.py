"""Our proxy beside the real one, in front of the same member: answers, files, log lines, faults.

Source: spec/cluster.md section 9.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.rawhttp import Wire
from tests.harness.process import Kind, Member, wait_until
from tests.harness.proxy import Proxy
from tests.proxy.test_relay import ask

DEADLINE_S = 20.0

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not Kind.ETCD.is_present(), reason="the real etcd is not on PATH"),
]

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
#: What an HTTP/1.1 client may ask a proxy for, byte for byte.
REQUESTS = [
    b"PUT /v2/keys/a HTTP/1.1\r\nHost: x\r\n" + FORM + b"Content-Length: 7\r\n\r\nvalue=1",
    b"GET /v2/keys/a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /v2/keys/a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v2/keys/a HTTP/1.0\r\n\r\n",
    b"GET /v2/keys/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /v2/keys/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET http://foo/v2/keys/a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v2/keys/a?quorum=true HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eDp5\r\n\r\n",
    b"GET /v2/keys/big HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /v2/keys/big HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v2/keys/big HTTP/1.0\r\n\r\n",
    b"GET /v2/keys/nokey HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v2/keys/%zz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v2/keys/a?wait=maybe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v2/members HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v2/machines HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v2/auth/enable HTTP/1.1\r\nHost: x\r\n\r\n",
    b"FOO /v2/keys/a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"OPTIONS /v2/keys/a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v2/config/local/proxy HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /v2/config/local/proxy HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PUT /v2/config/local/proxy HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"PUT /v2/keys/a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
    + FORM
    + b"Content-Length: 7\r\n\r\nvalue=1",
    b"PUT /v2/keys/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    + FORM
    + b"\r\n7\r\nvalue=1\r\n0\r\n\r\n",
    b"PUT /v2/keys/u HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    b"GET /v2/keys/u HTTP/1.1\r\nHost: x\r\nExpect: foo\r\n\r\n",
    b"BAD\r\n\r\n",
    b"GET / HTTP/2.0\r\n\r\n",
    b"GET /v2/keys/a HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
]
_NUMBERS = re.compile(rb'(X-Etcd-Index: |X-Raft-Index: |"(?:modified|created)?[iI]ndex":)\d+')
_DATE = re.compile(rb"Date: [^\r]*")


def shown(answer: bytes) -> list[bytes]:
    """Return the lines of an answer without what differs from moment to moment.

    Header lines are sorted: Go writes its own ones in another order than those it is given.  Chunks
    are joined, since where they begin is no part of an answer.
    """
    plain = _DATE.sub(b"Date: now", _NUMBERS.sub(rb"\g<1>0", answer))
    head, _, body = plain.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in head:
        body = re.sub(rb"(?:^|\r\n)[0-9a-f]+\r\n", b"", body)
    return [*sorted(head.split(b"\r\n")), body]


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    with Member(Kind.ETCD, tmp_path_factory.mktemp("member")) as one:
        one.start()
        one.request("PUT", "/v2/keys/big", {"value": "x" * 5000})
        for _ in range(10):  # so that all indexes that are told have two digits
            one.request("PUT", "/v2/keys/a", {"value": "1"})
        yield one


@pytest.fixture(scope="module")
def proxies(member: Member, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    """The real proxy and ours, in front of one member."""
    made = [
        Proxy(kind, tmp_path_factory.mktemp("p"), [member]) for kind in (Kind.ETCD, Kind.ETCDPY)
    ]
    try:
        yield [proxy.start() for proxy in made]
    finally:
        for proxy in made:
            proxy.kill()


def both(proxies: list[Proxy], request: bytes) -> list[bytes]:
    """Return what both proxies answer to a request whose client sends nothing more.

    That is said by a second request on the connection, which ends it: closing one's sending side
    makes the real proxy drop what it was asked.
    """
    last = b"GET /v2/keys/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    return [ask(proxy.client_port, request + last, is_last=False) for proxy in proxies]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: r[:40].decode("latin-1"))
def test_an_answer_is_the_real_proxys(proxies: list[Proxy], request_: bytes) -> None:
    theirs, ours = both(proxies, request_)
    assert shown(ours) == shown(theirs)


def test_the_stored_cluster_is_the_real_proxys(proxies: list[Proxy]) -> None:
    theirs, ours = ((proxy.data_dir / "proxy" / "cluster").read_bytes() for proxy in proxies)
    assert ours == theirs


def said(proxy: Member) -> list[str]:
    """Return the log without times, versions and ports."""
    lines = [line.partition(" | ") for line in proxy.log_text().splitlines()]
    kept = [f"{left[-1:]} | {text}" for left, _, text in lines if text]
    skipped = ("Version", "Git SHA", "Go OS", "maximum number of CPUs", "failed to direct request")
    return [
        re.sub(r":\d{5}", ":PORT", line).replace(str(proxy.data_dir), "DIR")
        for line in kept
        if not any(word in line for word in skipped)
    ]


def test_readonly_is_the_real_proxys(member: Member, tmp_path: Path) -> None:
    rest = b" /v2/keys/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    methods = (b"PUT", b"POST", b"DELETE", b"HEAD", b"OPTIONS", b"GET")
    answers = []
    for kind in Kind:
        with Proxy(kind, tmp_path / kind, [member], mode="readonly") as proxy:
            port = proxy.start().client_port
            answers.append([shown(ask(port, method + rest, is_last=False)) for method in methods])
    assert answers[0] == answers[1]


def test_a_member_that_goes_and_comes_back_is_told_alike(tmp_path: Path) -> None:
    """Answers and log of a whole life: no member, one, none again, a restart from the file."""
    options = ("--proxy-failure-wait", "300", "--proxy-refresh-interval", "200")
    stories = []
    for kind in Kind:
        story: list[object] = []
        with Member(Kind.ETCD, tmp_path / f"{kind}-m") as member:
            proxy = Proxy(kind, tmp_path / kind, [member], *options)
            with proxy:
                proxy.start()
                story.append(shown(get(proxy)))
                member.start()
                wait_until(proxy.endpoints_are_known, DEADLINE_S, "the member is found")
                story.append(shown(get(proxy))[0])
                member.kill()
                wait_until(proxy.endpoints_are_unknown, DEADLINE_S, "the member is missed")
                story.append(shown(get(proxy)))
                story.append(proxy.stop())
                again = Proxy(kind, tmp_path / kind, [], *options, mode="", name="again")
                again.options += ("--advertise-client-urls", again.client_url)
                with again:
                    again.start()
                    story.append(shown(get(again)))
                    member.start()
                    wait_until(again.endpoints_are_known, DEADLINE_S, "found again")
                    story.append(shown(get(again))[0])
                    lines = [line for line in said(again) if "could not" not in line]
                    story.append(lines)
        stories.append(story)
    assert stories[0] == stories[1]


def get(proxy: Member) -> bytes:
    request = b"GET /v2/keys/nokey HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    return ask(proxy.client_port, request, is_last=False)


@pytest.mark.parametrize(
    ("content", "flags"),
    [
        (("proxy", "member"), ["--proxy=on"]),
        ((), ["--proxy=on", "--initial-cluster=foo"]),
        ((), ["--proxy=on", "--listen-client-urls=https://127.0.0.1:1"]),
    ],
)
def test_what_cannot_start_is_refused_in_the_same_words(
    tmp_path: Path, content: tuple[str, ...], flags: list[str]
) -> None:
    ends = []
    for kind in Kind:
        with Proxy(kind, tmp_path / kind, [], *flags, mode="") as proxy:
            for name in content:
                (proxy.data_dir / name).mkdir(parents=True, mode=0o700)
            proxy.launch()
            ends.append((proxy.wait_exit(), said(proxy)[-1]))
    assert ends[0] == ends[1]
    assert ends[0][0] == 1


def test_a_watch_through_our_proxy_is_told_at_once_on_real_members(proxies: list[Proxy]) -> None:
    _, ours = proxies
    with Wire(ours.client_port) as watch:
        watch.send("GET", "/v2/keys/w?wait=true&stream=true", {}, None, is_last=False)
        assert watch.read_head().status == 200
        for number in range(3):
            ours.request("PUT", "/v2/keys/w", {"value": str(number)})
            assert b'"value":"%d"' % number in watch.read_chunk()
