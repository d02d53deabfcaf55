"""Parameters: types, the order of refusals, where values come from."""

import itertools

import pytest

from etcdpy.errors import EtcdError
from etcdpy.http import params
from etcdpy.http.form import FORM_TYPE
from etcdpy.http.params import Params
from etcdpy.http.wire import Request


def parse(query: bytes = b"", body: bytes | None = None, method: str = "PUT") -> Params:
    if body is None:
        return params.parse(Request(method, b"/v2/keys/a", query))
    return params.parse(Request(method, b"/v2/keys/a", query, FORM_TYPE, body))


def refusal(query: bytes, body: bytes | None = None, method: str = "PUT") -> tuple[int, bytes]:
    with pytest.raises(EtcdError) as caught:
        parse(query, body, method)
    assert caught.value.index == 0
    return caught.value.code, caught.value.cause


# In the order in which they are found: spec/keys.md section 5.
ORDERED = (
    (b"prevIndex=x", 203, b'invalid value for "prevIndex"'),
    (b"waitIndex=x", 203, b'invalid value for "waitIndex"'),
    (b"recursive=x", 209, b'invalid value for "recursive"'),
    (b"sorted=x", 209, b'invalid value for "sorted"'),
    (b"wait=x", 209, b'invalid value for "wait"'),
    (b"dir=x", 209, b'invalid value for "dir"'),
    (b"quorum=x", 209, b'invalid value for "quorum"'),
    (b"stream=x", 209, b'invalid value for "stream"'),
    (b"wait=true", 209, b'"wait" can only be used with GET requests'),
    (b"prevValue=", 201, b'"prevValue" cannot be empty'),
    (b"noValueOnSuccess=x", 209, b'invalid value for "noValueOnSuccess"'),
    (b"ttl=x", 202, b'invalid value for "ttl"'),
    (b"prevExist=x", 209, b"invalid value for prevExist"),
    (b"refresh=x", 209, b"invalid value for refresh"),
    (b"refresh=true&value=x", 211, b"A value was provided on a refresh"),
    (b"refresh=true", 212, b"No TTL value set"),
)


@pytest.mark.parametrize(("query", "code", "cause"), ORDERED)
def test_each_bad_value_has_its_code_and_cause(query: bytes, code: int, cause: bytes) -> None:
    assert refusal(query) == (code, cause)


def name_of(query: bytes) -> bytes:
    return query.partition(b"=")[0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pair
        for pair in itertools.combinations(ORDERED, 2)
        if name_of(pair[0][0]) != name_of(pair[1][0])
    ],
)
def test_the_first_in_the_order_wins(
    first: tuple[bytes, int, bytes], second: tuple[bytes, int, bytes]
) -> None:
    assert refusal(second[0] + b"&" + first[0]) == first[1:]


def test_a_form_error_comes_before_all_of_them() -> None:
    assert refusal(b"prevIndex=x&y=%zz")[0] == 210
    assert refusal(b"prevIndex=x", b"y=%zz")[0] == 210


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
def test_every_parameter_is_checked_for_every_verb(method: str) -> None:
    for query, code, cause in ORDERED:
        if not (method == "GET" and query == b"wait=true"):
            assert refusal(query, method=method) == (code, cause)


@pytest.mark.parametrize("text", [b"1", b"t", b"T", b"TRUE", b"true", b"True"])
def test_true(text: bytes) -> None:
    assert parse(b"recursive=" + text).is_recursive is True
    assert parse(b"prevExist=" + text).prev_exist is True


@pytest.mark.parametrize("text", [b"0", b"f", b"F", b"FALSE", b"false", b"False"])
def test_false(text: bytes) -> None:
    assert parse(b"recursive=" + text).is_recursive is False
    assert parse(b"prevExist=" + text).prev_exist is False


@pytest.mark.parametrize("text", [b"", b"yes", b"tRUE", b"%20true", b"2", b"-1", b"TruE"])
def test_no_other_word_is_a_boolean(text: bytes) -> None:
    assert refusal(b"recursive=" + text)[0] == 209
    assert refusal(b"prevExist=" + text)[0] == 209


@pytest.mark.parametrize(
    ("text", "number"),
    [(b"0", 0), (b"007", 7), (b"0" * 100 + b"1", 1), (b"18446744073709551615", 2**64 - 1)],
)
def test_numbers_are_unsigned_64_bit(text: bytes, number: int) -> None:
    assert parse(b"prevIndex=" + text).prev_index == number
    assert parse(b"waitIndex=" + text).wait_index == number
    assert parse(b"ttl=" + text).ttl_s == number


@pytest.mark.parametrize(
    "text",
    [
        b"-1",
        b"%2B1",
        b"+1",
        b"1.0",
        b"0x10",
        b"1_0",
        b"%201",
        b"1%20",
        b"1e3",
        b"%D9%A1",
        b"18446744073709551616",
        b"9" * 23,
        b"9" * 5000,
    ],
)
def test_no_other_text_is_a_number(text: bytes) -> None:
    assert refusal(b"prevIndex=" + text)[0] == 203
    assert refusal(b"ttl=" + text)[0] == 202


def test_empty_numbers_are_bad_but_an_empty_ttl_is_none() -> None:
    assert refusal(b"prevIndex=")[0] == 203
    assert refusal(b"waitIndex")[0] == 203
    assert parse(b"ttl=").ttl_s is None


def test_the_body_comes_first_and_later_values_are_not_looked_at() -> None:
    assert parse(b"value=query", b"value=body").value == b"body"
    assert parse(b"ttl=bad", b"ttl=100").ttl_s == 100
    assert parse(b"ttl=100", b"ttl=").ttl_s is None
    assert parse(b"dir=true", b"dir=false").is_dir is False
    assert parse(b"recursive=1&recursive=bad").is_recursive is True


def test_the_body_is_read_by_its_type_only() -> None:
    for kind in (b"", b"text/plain", b"application/json", b"multipart/form-data; boundary=B"):
        request = Request("PUT", b"/v2/keys/a", b"", kind, b"value=x&ttl=%zz", b"unexpected EOF")
        assert params.parse(request) == Params()


def test_a_bad_type_comes_before_a_bad_body_and_that_before_a_bad_query() -> None:
    def cause(kind: bytes, body: bytes, error: bytes) -> bytes:
        with pytest.raises(EtcdError) as caught:
            params.parse(Request("PUT", b"/v2/keys/a", b"a;b", kind, body, error))
        return caught.value.cause

    assert cause(b"/", b"%zz", b"unexpected EOF") == b"mime: no media type"
    assert cause(FORM_TYPE, b"%zz", b"unexpected EOF") == b"unexpected EOF"
    assert cause(FORM_TYPE, b"%zz", b"") == b'invalid URL escape "%zz"'
    assert cause(b"text/plain", b"%zz", b"") == b"invalid semicolon separator in query"


def test_defaults() -> None:
    assert parse() == Params()
    assert parse(b"unknown=1&TTL=5&PrevExist=x&Value=y") == Params()
    assert parse(b"", b"value=a%00b") == Params(b"a\x00b")
    assert parse(b"prevIndex=0").prev_index == 0
