"""JSON bytes as Go writes them."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.http.gojson.writer import dumps, format_duration, format_time, quote


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        (b"", b'""'),
        (b"plain /'\x7f", b'"plain /\'\x7f"'),
        (b'"\\', b'"\\"\\\\"'),
        (b"\n\r\t", b'"\\n\\r\\t"'),
        (b"\x00\x08\x0b\x0c\x1f", b'"\\u0000\\u0008\\u000b\\u000c\\u001f"'),
        (b"<>&", b'"\\u003c\\u003e\\u0026"'),
        ("é☃😀\ufffd".encode(), '"é☃😀\ufffd"'.encode()),
        ("\u2028\u2029\u2027".encode(), b'"\\u2028\\u2029\xe2\x80\xa7"'),
        (b"\xff\xfe", b'"\\ufffd\\ufffd"'),
        (b"\xed\xa0\x80x", b'"\\ufffd\\ufffd\\ufffdx"'),  # a surrogate, byte by byte
        (b"\xe2\x98", b'"\\ufffd\\ufffd"'),  # the first two bytes of three
        (b"\xe2\x98A", b'"\\ufffd\\ufffdA"'),
        (b"\xc0\xaf", b'"\\ufffd\\ufffd"'),  # overlong
        (b"\xf4\x90\x80\x80", b'"\\ufffd\\ufffd\\ufffd\\ufffd"'),  # above U+10FFFF
        (b"a\x80<", b'"a\\ufffd\\u003c"'),
    ],
)
def test_quote_escapes_as_go_does(text: bytes, literal: bytes) -> None:
    assert quote(text) == literal


@given(st.text())
def test_quoted_text_reads_back(text: str) -> None:
    literal = quote(text.encode("utf-8", "replace"))
    assert json.loads(literal) == text.encode("utf-8", "replace").decode()
    assert not set(literal) & set(b"<>&\n\x00")


@given(st.binary())
def test_every_invalid_byte_is_one_replacement(data: bytes) -> None:
    marked = data.decode("utf-8", "surrogateescape")
    replaced = marked.translate(dict.fromkeys(range(0xDC80, 0xDD00), "\ufffd"))
    assert json.loads(quote(data)) == replaced


@pytest.mark.parametrize(
    ("unix_ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (1_795_223_807_443_294_856, "2026-11-21T01:16:47.443294856Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (2**63 - 1, "2262-04-11T23:47:16.854775807Z"),
        (-(2**63), "1677-09-21T00:12:43.145224192Z"),
    ],
)
def test_times_have_the_fewest_digits(unix_ns: int, text: str) -> None:
    assert format_time(unix_ns) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (347_085_200, "347.0852ms"),
        (999_999_999, "999.999999ms"),
        (1_000_000_000, "1s"),
        (1_472_462_918, "1.472462918s"),
        (123_500_000_000, "2m3.5s"),
        (60_000_000_000, "1m0s"),
        (3_600_000_000_000, "1h0m0s"),
        (90_061_000_000_001, "25h1m1.000000001s"),
        (-1_500_000, "-1.5ms"),
    ],
)
def test_durations_are_printed_as_go_prints_them(ns: int, text: str) -> None:
    assert format_duration(ns) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, b"0"),
        (-0.0, b"-0"),
        (1.0, b"1"),
        (-2.5, b"-2.5"),
        (0.0011770000000000005, b"0.0011770000000000005"),
        (44.72623909900792, b"44.72623909900792"),
        (9223372036854775807.0, b"9223372036854776000"),
        (1e-6, b"0.000001"),
        (0.0000123, b"0.0000123"),
        (1e-7, b"1e-07"),
        (1.5e-9, b"1.5e-09"),
        (1e20, b"100000000000000000000"),
        (1.5e20, b"150000000000000000000"),
        (1e21, b"1e+21"),
        (1e100, b"1e+100"),
    ],
)
def test_floats_are_the_shortest_digits(value: float, text: bytes) -> None:
    assert dumps(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_read_back(value: float) -> None:
    assert float(dumps(value)) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_does_not_have_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="no JSON"):
        dumps(value)
    with pytest.raises(TypeError):
        dumps(object())


def test_objects_are_compact_and_keep_their_order() -> None:
    value = {"b": [1, 2.5, "x<"], "a": {"t": True, "f": False, "n": None}, "e": (), "o": {}}
    expected = b'{"b":[1,2.5,"x\\u003c"],"a":{"t":true,"f":false,"n":null},"e":[],"o":{}}'
    assert dumps(value) == expected
