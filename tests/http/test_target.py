"""Targets to paths: decoded once, cleaned only to redirect."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.http import target
from etcdpy.http.target import TargetError


@pytest.mark.parametrize(
    ("raw", "path", "query"),
    [
        (b"/", b"/", b""),
        (b"/a?b?c", b"/a", b"b?c"),
        (b"/a%2Fb%25?%zz", b"/a/b%", b"%zz"),
        (b"/a+b", b"/a+b", b""),
        (b"/a#b?c#d", b"/a#b", b"c#d"),
        (b"/\xff%FF", b"/\xff\xff", b""),
        (b"/%00%3F", b"/\x00?", b""),
        (b"*", b"*", b""),
        (b"http://h/a?b", b"/a", b"b"),
        (b"HTTP://user@h:1", b"", b""),
        (b"x+y-z.1://h/a", b"/a", b""),
        (b"http:/a", b"/a", b""),
        (b"foo:bar?b", b"", b"b"),
        (b"http://u%20:p@a:b:1/a", b"/a", b""),
        (b"http://[::1]:3/a", b"/a", b""),
        (b"http://[fe80::1%25en0]/a", b"/a", b""),
        (b"http://%c3%a9\xc3\xa9%25/a", b"/a", b""),
    ],
)
def test_a_target_is_taken_apart(raw: bytes, path: bytes, query: bytes) -> None:
    assert target.split(raw) == (path, query)


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"foo", b"/a b", b"/a\x00", b"/\x7f", b"/%", b"/%2", b"/%zz", b"?x", b"1x://h/"),
        *(b"http://[::1/a", b"http://[::1]x/a", b"http://h:x/a", b"http://h:1:/a:b\x00"),
        *(b"http://a[b@h/a", b"http://u%zz@h/a", b"http://%41/a", b"http://{}/a"),
    ],
)
def test_what_no_request_line_can_carry_is_refused(raw: bytes) -> None:
    with pytest.raises(TargetError):
        target.split(raw)


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        (b"", b"/"),
        (b"/", b"/"),
        (b"//", b"/"),
        (b"/a/", b"/a/"),
        (b"/a//b", b"/a/b"),
        (b"/a///", b"/a/"),
        (b"/a/./b", b"/a/b"),
        (b"/a/.", b"/a"),
        (b"/./", b"/"),
        (b"/a/..", b"/"),
        (b"/a/../b/", b"/b/"),
        (b"/../..", b"/"),
        (b"/..a/.b/...", b"/..a/.b/..."),
        (b"/.../", b"/.../"),
    ],
)
def test_a_path_is_cleaned(path: bytes, cleaned: bytes) -> None:
    assert target.clean(path) == cleaned
    assert target.clean(cleaned) == cleaned


@given(st.lists(st.sampled_from([b"", b".", b"..", b"a", b"...", b".b"])))
def test_cleaning_is_done_once_and_for_all(parts: list[bytes]) -> None:
    cleaned = target.clean(b"/" + b"/".join(parts))
    assert target.clean(cleaned) == cleaned
    assert not {b".", b".."} & set(cleaned.split(b"/"))


def test_a_redirect_escapes_the_path_and_keeps_the_query() -> None:
    path = b"/s;t=u:v@w,$&'()*!~ \xc3\xa9?#<"
    location, page = target.redirect_to(path, b"x=%zz&'\"<\xff")
    escaped = b"/s;t=u:v@w,$&%27%28%29%2A%21~%20%C3%A9%3F%23%3C"
    assert location == escaped + b"?x=%zz&'\"<%ff"
    html = escaped.replace(b"&", b"&amp;") + b"?x=%zz&amp;&#39;&#34;&lt;\xff"
    assert page == b'<a href="%b">Moved Permanently</a>.\n\n' % html


@pytest.mark.parametrize(
    ("raw", "path"), [(b"x:80", b""), (b"x", b""), (b"/a", b"/a"), (b"", b""), (b"x/a", b"/a")]
)
def test_the_target_of_connect_is_a_host_or_a_path(raw: bytes, path: bytes) -> None:
    assert target.split(raw, "CONNECT") == (path, b"")


@pytest.mark.parametrize(
    ("raw", "method", "host"),
    [
        (b"/version", "GET", b""),
        (b"//a/b", "GET", b""),
        (b"/x?http://a/", "GET", b""),
        (b"*", "OPTIONS", b""),
        (b"http:/version", "GET", b""),
        (b"http:///version", "GET", b""),
        (b"http://a/version", "GET", b"a"),
        (b"http://a", "GET", b"a"),
        (b"http://a?x=//b/", "GET", b"a"),
        (b"HTTPS://u:p@a:1/", "GET", b"a:1"),
        (b"http://b@c@a/", "GET", b"a"),
        (b"http://%e9/", "GET", b"\xe9"),
        (b"a:80", "CONNECT", b"a:80"),
        (b"/a", "CONNECT", b""),
    ],
)
def test_an_absolute_target_names_its_host(raw: bytes, method: str, host: bytes) -> None:
    assert target.host_of(raw, method) == host


def test_long_hosts_are_judged_in_linear_time() -> None:
    for unit in (b":", b"a:", b"%25", b"@", b"["):
        host = unit * (1_000_000 // len(unit))
        with pytest.raises(TargetError):
            target.split(b"http://%b\\/" % host)
