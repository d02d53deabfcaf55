"""Attacks on a member with auth on, beside etcd: the table of docs/security.md, row by row.

What etcd answers is answered alike; where etcd lets an attacker in, the test says so.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conformance import attacks
from tests.conformance.attacks import BOB, HIDDEN, SECRET
from tests.conformance.auth_sides import ROOT, Ask, agree, authorization, put
from tests.conformance.side_by_side import Pair, normal, running_pair
from tests.harness.client import Connection
from tests.harness.process import Kind, Launcher, Member
from tests.http.rawsocket import FORM_HEAD, connect, exchange, request

pytest_plugins = ("tests.harness.plugin",)
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not Kind.ETCD.is_present(), reason="the real etcd is not on PATH"),
]

DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two members with the attackers' world, which no test changes."""
    with running_pair(tmp_path_factory.mktemp("attacks")) as both:
        for asked in attacks.directions():
            agree(both, asked)
        yield both


def alike(pair: Pair, data: bytes) -> str:
    """Return what both answer to the same bytes, which is the same and not the secret."""
    ours, theirs = pair.ask(data, half_close=True)
    if "Transfer-Encoding: chunked" in ours:  # whether a watch is told of the past before its end
        assert status(ours) == status(theirs), data
    else:
        assert ours == theirs, data
    assert SECRET not in ours, data
    return ours


def status(answer: str) -> int:
    return int(answer.split(" ", 2)[1])


# Ways around the checks


@pytest.mark.parametrize("method", attacks.METHODS)
def test_no_alias_of_a_path_is_a_way_around(pair: Pair, method: bytes) -> None:
    for target in attacks.ALIASES:
        answer = alike(pair, request(method, target))
        if method in (b"PUT", b"POST", b"DELETE"):  # no guest may change anything under these
            assert status(answer) in (301, 400, 401, 404, 405), target
        if method == b"GET":
            alike(pair, request(method, target, authorization(BOB)))


def test_no_wider_question_shows_what_is_forbidden(pair: Pair) -> None:
    paths = ("", "/", "/secret", "/_hidden", "/app", "/app/")
    for login, extra in (("", ("/secret/x", "/secret/", "/_hidden/x", "/pub", "/pub/")), (BOB, ())):
        for path in (*paths, *extra):
            for query in attacks.WIDER:
                alike(pair, Ask("GET", f"/v2/keys{path}?{query}", login).data())


def test_only_the_first_whole_authorization_counts(pair: Pair) -> None:
    for name, headers in attacks.NO_ROOT.items():
        assert status(alike(pair, request(b"GET", HIDDEN, headers))) == 401, name
    for name, headers in attacks.STILL_ROOT.items():
        ours, theirs = pair.ask(request(b"GET", HIDDEN, headers))
        assert ours == theirs, name
        assert SECRET in ours, name


def test_credentials_that_are_nearly_right_are_wrong(pair: Pair) -> None:
    for login in attacks.NEARLY:
        data = Ask("GET", HIDDEN.decode(), login).data()
        if login.startswith(":"):  # at an empty name etcd ends the connection
            assert exchange(pair.etcdpy.client_port, data).status == 401
        else:
            assert status(alike(pair, data)) == 401, login


def test_a_name_that_leads_elsewhere_is_nobodys(pair: Pair) -> None:
    """etcd takes such a name for a path, and so a key that anybody wrote for a user."""
    for login in attacks.LEADING:
        data = Ask("GET", HIDDEN.decode(), login).data()
        assert exchange(pair.etcdpy.client_port, data).status == 401, login


def test_refusals_do_not_tell_what_is_there(pair: Pair) -> None:
    for login, methods in (("", ("GET", "HEAD", "PUT", "POST", "DELETE")), (BOB, ("GET", "PUT"))):
        for method in methods:
            for query in ("", "?prevExist=true", "?prevValue=x", "?wait=true"):
                there, missing = (
                    alike(pair, Ask(method, f"/v2/keys/secret/{name}{query}", login).data())
                    for name in ("x", "y")
                )
                assert there == missing
    known, unknown = (
        alike(pair, request(target=HIDDEN, headers=authorization(login)))
        for login in ("bob:no", "nobody:no")
    )
    assert known == unknown


def test_what_is_shown_to_everybody_has_no_key_and_no_password(pair: Pair) -> None:
    with Connection(pair.etcdpy.client_url) as connection:
        for path in ("/metrics", "/debug/vars", "/v2/stats/self", "/v2/stats/store", "/v2/members"):
            shown = connection.request("GET", path).body
            for secret in (SECRET.encode(), b"secret/x", b"$2a$", b"bob"):
                assert secret not in shown, path
    users = alike(pair, Ask("GET", "/v2/auth/users/bob", ROOT).data())
    assert status(users) == 200
    assert "password" not in users


# Numbers and bytes


def test_numbers_are_refused_or_read_alike(pair: Pair) -> None:
    answers = [status(alike(pair, data)) for data in attacks.with_numbers()]
    assert {200, 400, 404} <= set(answers) <= {200, 400, 404, 500}


def test_no_byte_of_a_request_ends_a_header_line_of_the_answer(pair: Pair) -> None:
    forged = b"%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a"
    for target in (b"/v2//keys/" + forged, b"/v2/keys/pub/" + forged, b"/none" + forged):
        answer = alike(pair, request(target=target))
        assert "\r\nSet-Cookie" not in answer
    lines = b"X-A: b\x0bSet-Cookie: a=b\r\n", b"Origin: http://a\rSet-Cookie: a=b\r\n"
    for headers in lines:
        assert status(alike(pair, request(headers=headers))) == 400


def test_no_key_makes_a_line_of_the_log(launch_etcdpy: Launcher) -> None:
    """etcd writes such a key as it is."""
    member = launch_etcdpy().start()
    with Connection(member.client_url) as connection:
        for asked in attacks.directions():
            assert exchange(member.client_port, asked.data()).status in (200, 201)
        key = "x%0a2026-01-01%2000:00:00.000000%20C%20|%20raft:%20forged%c2%85forged%1b[2J"
        assert connection.request("GET", f"/v2/keys/{key}").status == 401
    (line,) = [line for line in member.log_text().split("\n") if "forged" in line]
    assert "invalid access" in line
    assert re.search(r"[\x00-\x1f\x7f-\x9f]", line) is None


# Floods, and requests that are made to be slow


def bombs() -> dict[str, bytes]:
    """Return requests of some megabytes that are small work for who reads them well."""
    chunked = FORM_HEAD + b"Transfer-Encoding: chunked\r\n"
    pieces = b"1\r\na\r\n" * 200_000 + b"0\r\n\r\n"
    key = b"/v2/keys/number?prevExist=true"
    return {
        "escapes": request(b"PUT", key, FORM_HEAD, b"value=" + b"%41" * 1_000_000),
        "fields": request(b"PUT", key, FORM_HEAD, b"&".join(b"%x" % n for n in range(300_000))),
        "semicolons": request(b"PUT", key, FORM_HEAD, b"a;&" * 500_000),
        "chunks": request(b"PUT", key, chunked) + pieces,
        "chunks that nobody reads": request(b"PUT", b"/none", chunked) + pieces,
        "header lines": request(b"GET", key, b"a:b\r\n" * 100_000),
        "lines that go on": request(b"GET", key, b"a:b\r\n" + b" c\r\n" * 200_000),
        "passwords": request(b"GET", key, b"Authorization: x\r\n" * 50_000),
        "slashes": request(b"GET", b"/v2/keys" + b"/" * 900_000),
        "escaped slashes": request(b"GET", b"/v2/keys/" + b"%2f" * 300_000),
        "digits": request(b"PUT", key, FORM_HEAD, b"value=1&ttl=" + b"9" * 3_000_000),
        "levels of JSON": request(
            b"PUT", b"/v2/auth/users/a", authorization(ROOT), b"[" * 30_000 + b"]" * 30_000
        ),
        "levels of JSON of members": request(
            b"POST",
            b"/v2/members",
            b"Content-Type: application/json\r\n" + authorization(ROOT),
            b"[" * 8000 + b"]" * 8000,
        ),
        "a body of a guest": request(b"PUT", b"/v2/auth/users/a", b"", b"[" * 5_000_000),
    }


@pytest.mark.parametrize("name", bombs())
def test_a_request_that_is_made_to_be_slow_is_answered_and_others_meanwhile(
    pair: Pair, name: str
) -> None:
    data = bombs()[name]
    with Connection(pair.etcdpy.client_url) as other, connect(pair.etcdpy.client_port) as bomb:
        term = other.request("GET", "/v2/keys/pub/x").headers["x-raft-term"]
        bomb.setblocking(False)
        sent = 0
        while sent < len(data):  # the others' requests go between its parts
            try:
                sent += bomb.send(data[sent : sent + (1 << 20)])
            except BlockingIOError:
                assert other.request("GET", "/v2/keys/pub/x").status == 200
            except OSError:
                break  # answered and closed before all of it was sent
        bomb.settimeout(DEADLINE_S)
        try:
            answer = bomb.recv(1 << 16)
        except ConnectionResetError:
            answer = b"HTTP/1.1 4"
        assert answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 3", b"HTTP/1.1 4")), answer
        # Nobody was silent for so long that the leader was given up.
        assert other.request("GET", "/v2/keys/pub/x").headers["x-raft-term"] == term


def test_clients_that_go_no_further_stop_nobody_else(pair: Pair) -> None:
    begun = (
        b"G",
        b"GET /v2/keys/pub/x HTTP/1.1\r\nHost: x\r\n",
        b"PUT /v2/keys/number HTTP/1.1\r\n"
        b"Host: x\r\n" + FORM_HEAD + b"Content-Length: 9\r\n\r\nvalue",
        b"",
    )
    with ExitStack() as stack:
        for number in range(400):
            slow = stack.enter_context(connect(pair.etcdpy.client_port))
            slow.sendall(begun[number % len(begun)])
        with Connection(pair.etcdpy.client_url) as other:
            assert other.request("GET", "/v2/keys/pub/x").status == 200


# Names by which a member is asked, and what asks it


def _asked(host: bytes, target: bytes = b"/version", method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % (method, target, host)


HOSTS = (
    *(_asked(host) for host in (b"good.example", b"good.example:1", b"[good.example]:80", b"evil")),
    *(_asked(host) for host in (b"GOOD.example", b"good.example.", b"x.good.example", b"")),
    *(
        _asked(host)
        for host in (b"good.example.evil", b"good.example:80:evil", b"good.example,evil")
    ),
    _asked(b"good.example", b"http://evil/version"),
    _asked(b"evil", b"http://good.example/version"),
    _asked(b"evil", b"http://good.example@evil/version"),
    _asked(b"evil", b"http://good.example:99/version"),
    _asked(b"good.example", b"http://%e9/version"),
    _asked(b"good.example", b"http:///version"),
    _asked(b"evil", b"http:/version"),
    _asked(b"evil", b"http://good.example"),
    _asked(b"evil", b"http://good.example/version", b"OPTIONS"),
    _asked(b"evil", b"*", b"OPTIONS"),
    _asked(b"evil", b"*"),
    _asked(b"evil", b"good.example:80", b"CONNECT"),
    _asked(b"good.example", b"evil:80", b"CONNECT"),
    b"CONNECT good.example:80 HTTP/1.1\r\nConnection: close\r\n\r\n",
    _asked(b"evil\r\nX-Forwarded-Host: good.example"),
    _asked(b"evil", b"//version"),
    _asked(b"evil", b"/none"),
    _asked(b"evil").replace(b"1.1", b"1.0").replace(b"Host: evil\r\n", b""),
    *(
        _asked(b"good.example\r\nOrigin: " + origin)
        for origin in (
            *(b"http://good.example:80", b"http://good.example", b"HTTP://good.example:80", b"*"),
            *(b"null", b"http://good.example:80/", b"http://good.example:80.evil", b"http://evil"),
            *(b"http://evil\r\nOrigin: http://good.example:80",),
            *(b"http://good.example:80\r\nOrigin: http://evil",),
        )
    ),
)


def test_only_listed_names_and_origins_are_served(tmp_path: Path) -> None:
    lists = "--host-whitelist=good.example,127.0.0.1", "--cors=http://good.example:80"
    with ExitStack() as stack:
        ours, theirs = (
            stack.enter_context(Member(kind, tmp_path / kind, *lists)).start() for kind in Kind
        )
        answers = []
        for data in HOSTS:
            got, expected = (
                normal(exchange(member.client_port, data, half_close=True).data)
                for member in (ours, theirs)
            )
            assert got == expected, data
            answers.append(got)
    assert {status(answer) for answer in answers} >= {200, 404, 421}
    assert sum("Allow-Origin" in answer for answer in answers) == 2


def test_the_port_for_members_has_nothing_for_clients(pair: Pair) -> None:
    for method in ("GET", "PUT", "POST", "DELETE"):
        for path in (
            "/v2/keys/secret/x",
            "/v2/auth/users",
            "/v2/members",
            "/v2/stats/self",
            "/metrics",
            "/health",
            "/debug/vars",
            "/config/local/log",
            "//v2/keys/secret/x",
        ):
            data = Ask(method, path, "", "value=1" if method == "PUT" else None, True).data()
            ours, theirs = pair.ask(data, is_peer=True, half_close=True)
            assert ours == theirs
            assert status(ours) in (301, 404)


# Credentials that change


def test_what_was_remembered_of_a_user_ends_with_any_change(pair: Pair) -> None:
    key = "/v2/keys/app/mallory"

    def ask(password: str) -> int:
        return status(agree(pair, Ask("GET", key, f"mallory:{password}")))

    made = {"user": "mallory", "password": "one", "roles": ["app"]}
    agree(pair, put("/users/mallory", made, ROOT))
    try:
        assert [ask("one"), ask("one"), ask("two")] == [404, 404, 401]
        agree(pair, put("/users/mallory", {"user": "mallory", "password": "two"}, ROOT))
        assert [ask("one"), ask("two")] == [401, 404]
        agree(pair, put("/users/mallory", {"user": "mallory", "revoke": ["app"]}, ROOT))
        assert ask("two") == 401
    finally:
        agree(pair, Ask("DELETE", "/v2/auth/users/mallory", ROOT))
    assert ask("two") == 401
    agree(pair, put("/users/mallory", {**made, "password": "three"}, ROOT))
    assert [ask("two"), ask("three")] == [401, 404]
    agree(pair, Ask("DELETE", "/v2/auth/users/mallory", ROOT))


@pytest.mark.parametrize("password", ["a\0b", "p" * 72 + "x", "é\u2028\U0001f511", "a:b"])
def test_a_password_is_all_of_its_bytes_up_to_the_72nd(pair: Pair, password: str) -> None:
    others = (password[:-1], password + "x", password.partition("\0")[0], password.lower() + "\0")
    agree(pair, put("/users/pass", {"user": "pass", "password": password, "roles": ["app"]}, ROOT))
    try:
        for tried in (password, *others):
            answer = agree(pair, Ask("GET", "/v2/keys/app/none", f"pass:{tried}"))
            is_same = tried.encode()[:72] == password.encode()[:72]
            assert status(answer) == (404 if is_same else 401), tried
    finally:
        agree(pair, Ask("DELETE", "/v2/auth/users/pass", ROOT))


# The data directory


def test_a_data_directory_may_be_a_link_and_should_be_ones_own(tmp_path: Path) -> None:
    said = []
    for kind in Kind:
        real, link, lost = (tmp_path / kind / name for name in ("real", "link", "lost"))
        real.mkdir(parents=True)
        real.chmod(0o777)
        link.symlink_to(real)
        lost.symlink_to(tmp_path / "nothing")
        with Member(kind, tmp_path / kind, data_dir=link) as member:
            member.start()
            lines = [line.partition(" W | ")[2] for line in member.log_text().splitlines()]
            (line,) = [line for line in lines if f'"{link}" exist' in line]
            said.append(line.replace(kind, "KIND"))
            assert all(path.stat().st_mode & 0o077 == 0 for path in real.rglob("*"))
            assert any(path.is_file() for path in real.rglob("*"))
        with Member(kind, tmp_path / kind, data_dir=lost, name="lost") as member:
            member.launch()
            assert member.wait_exit() == 1
            assert "cannot access data directory" in member.log_text()
    assert said[0] == said[1]
    assert '"drwxrwxrwx"' in said[0]
