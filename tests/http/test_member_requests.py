"""Which requests that change members are refused before the cluster is asked, in which order.

The words were recorded from etcd 3.4.23.
"""

import json

import pytest

from etcdpy.http.member_requests import Change, RequestError, is_body_wanted, parse
from etcdpy.http.wire import Request

JSON = b"application/json"
BODY = b'{"peerURLs":["http://a:1"]}'
PATH = b"/v2/members"
OWN = PATH + b"/abc"


def refusal_of(request: Request) -> tuple[int, bytes]:
    with pytest.raises(RequestError) as refusal:
        parse(request)
    return refusal.value.status, refusal.value.words


def post(body: bytes, content_type: bytes = JSON) -> Request:
    return Request("POST", PATH, content_type=content_type, body=body)


# The id


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(
    ("text", "member_id"),
    [
        (b"0", 0),
        (b"abc", 0xABC),
        (b"ABC", 0xABC),
        (b"5302e706b84d961", 0x5302E706B84D961),
        (b"ffffffffffffffff", 2**64 - 1),
        (b"000000000000000000000000000000abc", 0xABC),
    ],
)
def test_an_id_is_any_hexadecimal_number_of_64_bits(
    method: str, text: bytes, member_id: int
) -> None:
    request = Request(method, PATH + b"/" + text, content_type=JSON, body=BODY)
    assert parse(request).member_id == member_id


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(
    "text",
    [
        b"zzz",
        b"0x12",
        b"1_2",
        b"+1",
        b"-1",
        b" abc",
        b"abc/",
        b"abc/def",
        b"leader",
        b"10000000000000000",
        b"\xff",
        "\u0661".encode(),
        b"abc\n",
    ],
)
def test_what_is_no_id_is_no_member(method: str, text: bytes) -> None:
    request = Request(method, PATH + b"/" + text, content_type=b"any", body=b"?")
    assert refusal_of(request) == (404, b"No such member: " + text)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("path", [PATH, PATH + b"/"])
def test_without_an_id_there_is_nothing_to_change(method: str, path: bytes) -> None:
    assert refusal_of(Request(method, path)) == (405, b"Method Not Allowed\n")


# The media type


@pytest.mark.parametrize(
    "content_type",
    [
        JSON,
        b"application/json;",
        b"application/json ;x",
        b"Application/JSON; charset=utf-8",
        "\u00a0application/json\u2003;".encode(),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", PATH), ("PUT", OWN)])
def test_json_is_read(content_type: bytes, method: str, path: bytes) -> None:
    request = Request(method, path, content_type=content_type, body=BODY)
    assert is_body_wanted(request)
    assert parse(request).peer_urls == ("http://a:1",)


@pytest.mark.parametrize(
    ("content_type", "shown"),
    [
        (b"", b""),
        (b"application/x-www-form-urlencoded", b"application/x-www-form-urlencoded"),
        (b"Application/JSON", b"Application/JSON"),
        (b"application/json,x", b"application/json,x"),
        (b";", b""),
        (b"text/PLAIN ;application/json", b"text/plain"),
        ("\u0130X".encode() + b"\xff;", "ix\ufffd".encode()),
        ("\u0130X".encode() + b"\xff", "\u0130X".encode() + b"\xff"),
        ("\u039f\u0394\u039f\u03a3;".encode(), "\u03bf\u03b4\u03bf\u03c3".encode()),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", PATH), ("PUT", OWN)])
def test_another_type_is_refused_without_reading(
    content_type: bytes, shown: bytes, method: str, path: bytes
) -> None:
    request = Request(method, path, content_type=content_type, body=b"?", body_error=b"broken")
    assert not is_body_wanted(request)
    words = b"Bad Content-Type " + shown + b", accept application/json"
    assert refusal_of(request) == (415, words)


def test_an_id_is_judged_before_the_type_and_the_type_before_the_body() -> None:
    assert not is_body_wanted(Request("PUT", PATH + b"/zz", content_type=JSON))
    assert refusal_of(Request("PUT", PATH + b"/zz"))[0] == 404
    assert refusal_of(Request("PUT", OWN))[0] == 415
    broken = Request("PUT", OWN, content_type=JSON, body=BODY, body_error=b"unexpected EOF")
    assert refusal_of(broken) == (400, b"unexpected EOF")


def test_a_removal_needs_no_body() -> None:
    assert parse(Request("DELETE", OWN)) == Change(0xABC, ())


# The body


WHOLE = 'Go value of type struct { PeerURLs []string "json:\\"peerURLs\\"" }'
LIST = "Go struct field .peerURLs of type []string"
ELEMENT = "Go struct field .peerURLs of type string"


@pytest.mark.parametrize(
    ("body", "kind", "target"),
    [
        (b"[]", "array", WHOLE),
        (b"[1,{}]", "array", WHOLE),
        (b"-1.5e3", "number", WHOLE),
        (b'"x"', "string", WHOLE),
        (b"true", "bool", WHOLE),
        (b'{"peerURLs":"http://a:1"}', "string", LIST),
        (b'{"peerURLs":1}', "number", LIST),
        (b'{"peerURLs":true}', "bool", LIST),
        (b'{"peerURLs":{}}', "object", LIST),
        (b'{"PEERurls":1}', "number", LIST),
        (b'{"\\u0070eerURLs":1}', "number", LIST),
        ('{"peerURL\u017f":1}'.encode(), "number", LIST),
        (b'{"peerURLs":1,"peerURLs":["http://a:1"]}', "number", LIST),
        (b'{"peerURLs":["http://a:1"],"peerURLs":1}', "number", LIST),
        (b'{"peerURLs":[1]}', "number", ELEMENT),
        (b'{"peerURLs":[false]}', "bool", ELEMENT),
        (b'{"peerURLs":[[]]}', "array", ELEMENT),
        (b'{"peerURLs":[{"a":1}]}', "object", ELEMENT),
        (b'{"peerURLs":["x",{},1]}', "object", ELEMENT),
        (b'{"a":[1],"peerURLs":["foo",1]}', "number", ELEMENT),
    ],
)
def test_the_first_value_of_another_kind_is_refused(body: bytes, kind: str, target: str) -> None:
    words = f"json: cannot unmarshal {kind} into {target}"
    assert refusal_of(post(body)) == (400, words.encode())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "unexpected end of JSON input"),
        (b'{"peerURLs":[1', "unexpected end of JSON input"),
        (b'{"peerURLs":[1]} x', "invalid character 'x' after top-level value"),
        (b"peerURLs=http://a:1", "invalid character 'p' looking for beginning of value"),
    ],
)
def test_what_is_no_json_is_refused_as_that(body: bytes, words: str) -> None:
    assert refusal_of(post(body)) == (400, words.encode())


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"{}",
        b'{"peerURLs":null}',
        b'{"peerURLs":[]}',
        b'{"peerURLs":["http://a:1"],"peerURLs":null}',
        b'{"peerURLs":["http://a:1"],"PEERURLS":[]}',
        b'{"peerURLs ":["http://a:1"]}',
        b'{"name":["http://a:1"]}',
        b'{"peer":{"peerURLs":["http://a:1"]}}',
        b'{"peerURL\xc3\x9f":1}',
        b'{"\xef\xbd\x90eerURLs":1}',
    ],
)
def test_no_urls_are_refused(body: bytes) -> None:
    assert refusal_of(post(body)) == (400, b"no valid URLs given")


@pytest.mark.parametrize(
    ("urls", "words"),
    [
        ([None], "URL scheme must be http, https, unix, or unixs: "),
        (["foo", "http://a"], "URL scheme must be http, https, unix, or unixs: foo"),
        (["http://a:1", ""], "URL scheme must be http, https, unix, or unixs: "),
        (["http://foo"], 'URL address does not have the form "host:port": http://foo'),
        (["http://foo:1/"], "URL must not contain a path: http://foo:1/"),
        (["http://a:80x"], 'parse "http://a:80x": invalid port ":80x" after host'),
        (
            ["\ud800://a:1"],
            'parse "\ufffd://a:1": first path segment in URL cannot contain colon',
        ),
        (["\u00a0foo\u2003"], "URL scheme must be http, https, unix, or unixs: foo"),
    ],
)
def test_the_first_bad_url_is_refused(urls: list[str | None], words: str) -> None:
    body = json.dumps({"peerURLs": urls}).encode()
    assert refusal_of(post(body)) == (400, words.encode())


@pytest.mark.parametrize(
    ("body", "peer_urls"),
    [
        (b'{"peerURLs":["http://b:1","http://a:1"]}', ("http://a:1", "http://b:1")),
        (b'{"peerURLs":["http://a:1","http://a:1"]}', ("http://a:1", "http://a:1")),
        (b'{"PeerUrls":[" http://a:99999?x "],"name":"n"}', ("http://a:99999?x",)),
        (b'{"peerURLs":["x"],"peerurls":["http://a:1"]}', ("http://a:1",)),
        (b'{"peerURLs":["http://a%ff:1"]}', ("http://a%FF:1",)),
        (b'{"peerURLs":["http://a\xff:1"]}', ("http://a%EF%BF%BD:1",)),
    ],
)
def test_good_urls_are_taken(body: bytes, peer_urls: tuple[str, ...]) -> None:
    assert parse(post(body)) == Change(0, peer_urls)


@pytest.mark.parametrize(
    ("body", "peer_urls"),
    [
        (b'{"peerURLs":["http://a:1"],"peerURLs":[null]}', ("http://a:1",)),
        (
            b'{"peerURLs":["http://a:1","http://b:1"],"peerURLs":["http://c:1"],'
            b'"peerURLs":[null,null]}',
            ("http://b:1", "http://c:1"),
        ),
    ],
)
def test_a_null_leaves_what_an_earlier_list_had_in_its_place(
    body: bytes, peer_urls: tuple[str, ...]
) -> None:
    assert parse(post(body)).peer_urls == peer_urls


@pytest.mark.parametrize("later", [b"null", b"[]"])
def test_an_empty_list_leaves_nothing_for_nulls(later: bytes) -> None:
    body = b'{"peerURLs":["http://a:1"],"peerURLs":%b,"peerURLs":[null]}' % later
    assert refusal_of(post(body)) == (400, b"URL scheme must be http, https, unix, or unixs: ")
