"""URLs are accepted, refused and written back as etcd 3.4.23 does it: its words were recorded."""

import pytest

from etcdpy.urls import (
    UrlError,
    can_bind,
    go_quote,
    parse_initial_cluster,
    parse_url,
    parse_urls,
    split_host_port,
)

SCHEME = "URL scheme must be http, https, unix, or unixs: {}"
FORM = 'URL address does not have the form "host:port": {}'
PATH = "URL must not contain a path: {}"

REFUSED = {
    "foo": SCHEME,
    "": SCHEME,
    "*": SCHEME,
    "?": SCHEME,
    "a:1": SCHEME,
    "//a:1": SCHEME,
    "ftp://a:1": SCHEME,
    "http+x://a:1": SCHEME,
    "localhost:2379": SCHEME,
    "http://": FORM,
    "http:": FORM,
    "http:a:1": FORM,
    "http:/a:1": FORM,
    "http://a": FORM,
    "http://::1:1": FORM,
    "http://[::1]": FORM,
    "http://a:1:2": FORM,
    "http://a]:1": FORM,
    "http://u/@a:1": FORM,
    "unix://a": FORM,
    "unix:///a/b": FORM,
    "http://a:1/": PATH,
    "http://a:1/x": PATH,
    "http://a:1/?x": PATH,
    "unix://a:1/b": PATH,
    "http://a:80x": 'parse "http://a:80x": invalid port ":80x" after host',
    "http://a:-1": 'parse "http://a:-1": invalid port ":-1" after host',
    "http://a:1%": 'parse "http://a:1%": invalid port ":1%" after host',
    "http://a:1;b": 'parse "http://a:1;b": invalid port ":1;b" after host',
    "http://[::1]x:1": 'parse "http://[::1]x:1": invalid port "x:1" after host',
    "http://[::1": "parse \"http://[::1\": missing ']' in host",
    "http://[fe80::1%eth0]:1": 'parse "http://[fe80::1%eth0]:1": invalid URL escape "%et"',
    "http://[a%zz]:1": 'parse "http://[a%zz]:1": invalid URL escape "%zz"',
    "http://a%zz:1": 'parse "http://a%zz:1": invalid URL escape "%zz"',
    "http://a%41:1": 'parse "http://a%41:1": invalid URL escape "%41"',
    "http://%zz": 'parse "http://%zz": invalid URL escape "%zz"',
    "http://a:1/%zz": 'parse "http://a:1/%zz": invalid URL escape "%zz"',
    "http://a b:1": 'parse "http://a b:1": invalid character " " in host name',
    "http://a\\b:1": 'parse "http://a\\\\b:1": invalid character "\\\\" in host name',
    "http://^a:1": 'parse "http://^a:1": invalid character "^" in host name',
    "http://a|b:1": 'parse "http://a|b:1": invalid character "|" in host name',
    "http://a\t:1": r'parse "http://a\t:1": net/url: invalid control character in URL',
    "http://a:1\x1f": r'parse "http://a:1\x1f": net/url: invalid control character in URL',
    "http://a:1\x7f": r'parse "http://a:1\x7f": net/url: invalid control character in URL',
    ":a": 'parse ":a": missing protocol scheme',
    "1http://a:1": 'parse "1http://a:1": first path segment in URL cannot contain colon',
    "127.0.0.1:1": 'parse "127.0.0.1:1": first path segment in URL cannot contain colon',
}

WRITTEN = {
    "http://a:1": "http://a:1",
    " http://a:1 ": "http://a:1",
    "HTTP://A:1": "http://A:1",
    "http://:1": "http://:1",
    "http://a:": "http://a:",
    "http://a:99999": "http://a:99999",
    "http://[::1]:1": "http://[::1]:1",
    "http://a:1?": "http://a:1?",
    "http://h:1?x=1&b=2": "http://h:1?x=1&b=2",
    "http://a:1#f": "http://a:1#f",
    "http://u:p@a:1": "http://u:p@a:1",
    "http://u:@a:1": "http://u:@a:1",
    "http://u:p:q@b:2@a:1": "http://u:p%3Aq%40b%3A2@a:1",
    "http://u%3Ax:p%ff@a:1": "http://u%3Ax:p%FF@a:1",
    "http://a%ff:1#%fe": "http://a%FF:1#%fe",
    "http://a:1#[x]'%41": "http://a:1#[x]'%41",
    "http://a:1#[x]'%41\"": "http://a:1#%5Bx%5D%27A%22",
    "\u00a0http://a:1\u2003\x85": "http://a:1",
    "http://a_b:1": "http://a_b:1",
    "http://a<b:1": "http://a<b:1",
    "http://\N{LATIN SMALL LETTER A WITH DIAERESIS}:1": "http://%C3%A4:1",
    "unix://a:1": "unix://a:1",
    "unixs://a:1": "unixs://a:1",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_refusal_says_what_etcd_says(text: str) -> None:
    with pytest.raises(UrlError) as refusal:
        parse_url(text)
    assert str(refusal.value) == REFUSED[text].format(text)


@pytest.mark.parametrize("text", WRITTEN)
def test_an_accepted_url_is_written_as_etcd_writes_it(text: str) -> None:
    assert str(parse_url(text)) == WRITTEN[text]


def test_a_list_is_sorted_and_keeps_duplicates() -> None:
    assert parse_urls(["http://b:1", "http://a:1", "http://a:1"]) == (
        "http://a:1",
        "http://a:1",
        "http://b:1",
    )


def test_the_first_bad_url_of_a_list_is_refused() -> None:
    with pytest.raises(UrlError, match="one"):
        parse_urls(["http://a:1", "one", "two"])


def test_initial_cluster_gathers_the_urls_of_a_name() -> None:
    parsed = parse_initial_cluster("a=http://y:1,b=http://z:1,,a=http://x:1")
    assert parsed == {"a": ("http://x:1", "http://y:1"), "b": ("http://z:1",)}


def test_initial_cluster_entry_without_equals_has_an_empty_url() -> None:
    with pytest.raises(UrlError) as refusal:
        parse_initial_cluster("foo")
    assert str(refusal.value) == SCHEME.format("")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1", True),
        ("http://localhost:1", True),
        ("unix://name:1", True),
        ("http://:1", False),
        ("http://foo.com:80", False),
        ("http://[fe80::1%25eth0]:1", False),
        ("http://127.0.0.01:1", False),
    ],
)
def test_only_addresses_and_localhost_can_be_bound(url: str, expected: bool) -> None:
    assert can_bind(url) is expected


@pytest.mark.parametrize(
    ("text", "host", "port"), [("a:1", "a", "1"), ("[::1]:2", "::1", "2"), (":3", "", "3")]
)
def test_host_and_port_are_split(text: str, host: str, port: str) -> None:
    assert split_host_port(text) == (host, port)


@pytest.mark.parametrize("text", ["a", "::1", "[::1", "[::1]", "[a]b:1", "a[:1", "a:[1"])
def test_what_is_no_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        split_host_port(text)


def test_go_quote_escapes_what_is_not_printable() -> None:
    assert go_quote('a"\\\n\x01\u2028\udcff') == r'"a\"\\\n\x01\u2028\xff"'
