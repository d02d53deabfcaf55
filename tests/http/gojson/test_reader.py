"""JSON is taken and refused as etcd 3.4.23 (Go 1.19) does it: its words were recorded."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.http.gojson.reader import DEPTH_MAX, JsonError, Number, Object, Value, kind_of, parse

END = "unexpected end of JSON input"
VALUE = "looking for beginning of value"
NAME = "looking for beginning of object key string"
HEX = "in \\u hexadecimal character escape"

# What stands between the words "invalid character" and the end; the first part is the byte.
BROKEN = {
    b"x": ("x", VALUE),
    b"\xff": ("ÿ", VALUE),
    b"'": ("\\'", VALUE),
    b"\\": ("\\\\", VALUE),
    b"\x00": ("\\x00", VALUE),
    b"\x7f": ("\\x7f", VALUE),
    b"\xad": ("\\u00ad", VALUE),
    b"\x80": ("\\u0080", VALUE),
    b"}": ("}", VALUE),
    b"]": ("]", VALUE),
    b",": (",", VALUE),
    b":": (":", VALUE),
    b"\x0b1": ("\\v", VALUE),
    b"\xef\xbb\xbf{}": ("ï", VALUE),
    b"{x": ("x", NAME),
    b"{1": ("1", NAME),
    b"{'": ("\\'", NAME),
    b"{,": (",", NAME),
    b"{]": ("]", NAME),
    b'{"a",': (",", "after object key"),
    b'{"a"}': ("}", "after object key"),
    b'{"a" "b"': ('"', "after object key"),
    b'{"a":}': ("}", VALUE),
    b'{"a":,': (",", VALUE),
    b'{"a":1}}': ("}", "after top-level value"),
    b'{"a":1 "b"': ('"', "after object key:value pair"),
    b'{"a":1]': ("]", "after object key:value pair"),
    b'{"a":1,}': ("}", NAME),
    b'{"a":1,2': ("2", NAME),
    b'{"a":1:': (":", "after object key:value pair"),
    b"[,": (",", VALUE),
    b"[1 2": ("2", "after array element"),
    b"[1}": ("}", "after array element"),
    b"[1,]": ("]", VALUE),
    b"[1:": (":", "after array element"),
    b"[}": ("}", VALUE),
    b"{} x": ("x", "after top-level value"),
    b"1 2": ("2", "after top-level value"),
    b"01": ("1", "after top-level value"),
    b'"a""': ('"', "after top-level value"),
    b"nullx": ("x", "after top-level value"),
    b"[]]": ("]", "after top-level value"),
    b"{}\xff": ("ÿ", "after top-level value"),
    b'"\n': ("\\n", "in string literal"),
    b'"\x1f': ("\\x1f", "in string literal"),
    b'"\\x': ("x", "in string escape code"),
    b'"\\': (" ", "in string escape code"),
    b'"\\\n': ("\\n", "in string escape code"),
    b'"\\u': (" ", HEX),
    b'"\\uz': ("z", HEX),
    b'"\\u12': (" ", HEX),
    b'"\\u12"': ('"', HEX),
    b'"\\u123g': ("g", HEX),
    b'"\\U0041"': ("U", "in string escape code"),
    b"\"\\'": ("\\'", "in string escape code"),
    b"-": (" ", "in numeric literal"),
    b"-x": ("x", "in numeric literal"),
    b"--1": ("-", "in numeric literal"),
    b"+1": ("+", VALUE),
    b".5": (".", VALUE),
    b"1.": (" ", "after decimal point in numeric literal"),
    b"1.x": ("x", "after decimal point in numeric literal"),
    b"1.e5": ("e", "after decimal point in numeric literal"),
    b"1e": (" ", "in exponent of numeric literal"),
    b"1ex": ("x", "in exponent of numeric literal"),
    b"1e+": (" ", "in exponent of numeric literal"),
    b"1e+x": ("x", "in exponent of numeric literal"),
    b'1E-"': ('"', "in exponent of numeric literal"),
    b"1.5.2": (".", "after top-level value"),
    b"1e5.2": (".", "after top-level value"),
    b"-01": ("1", "after top-level value"),
    b"0x1": ("x", "after top-level value"),
    b"1e5e": ("e", "after top-level value"),
    b"t": (" ", "in literal true (expecting 'r')"),
    b"tx": ("x", "in literal true (expecting 'r')"),
    b"tr": (" ", "in literal true (expecting 'u')"),
    b"trx": ("x", "in literal true (expecting 'u')"),
    b"tru": (" ", "in literal true (expecting 'e')"),
    b"truE": ("E", "in literal true (expecting 'e')"),
    b"f": (" ", "in literal false (expecting 'a')"),
    b"fa": (" ", "in literal false (expecting 'l')"),
    b"fax": ("x", "in literal false (expecting 'l')"),
    b"fals": (" ", "in literal false (expecting 'e')"),
    b"falsy": ("y", "in literal false (expecting 'e')"),
    b"n": (" ", "in literal null (expecting 'u')"),
    b"nil": ("i", "in literal null (expecting 'u')"),
    b"nu": (" ", "in literal null (expecting 'l')"),
    b"nuL": ("L", "in literal null (expecting 'l')"),
    b"nulL": ("L", "in literal null (expecting 'l')"),
    b"True": ("T", VALUE),
    b"NaN": ("N", VALUE),
    b"[t": (" ", "in literal true (expecting 'r')"),
    b'{"a":f}': ("}", "in literal false (expecting 'a')"),
}
ENDED = (
    b"",
    b" ",
    b"{",
    b"[",
    b'"',
    b'"a',
    b'{"a"',
    b'{"a":',
    b'{"a":1',
    b'{"a":1,',
    b"[1",
    b"[1,",
    b'"\\"',
)


def refusal_of(data: bytes) -> str:
    with pytest.raises(JsonError) as refusal:
        parse(data)
    return str(refusal.value)


@pytest.mark.parametrize("data", BROKEN)
def test_a_refusal_names_the_byte_and_what_it_stands_in(data: bytes) -> None:
    char, where = BROKEN[data]
    assert refusal_of(data) == f"invalid character '{char}' {where}"


@pytest.mark.parametrize("data", ENDED)
def test_a_text_that_breaks_off_where_a_space_may_stand_has_ended(data: bytes) -> None:
    assert refusal_of(data) == END


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_nesting_has_a_bound(opening: bytes) -> None:
    levels = opening.count(b"[") + opening.count(b"{")
    deepest = opening * (DEPTH_MAX // levels)
    assert refusal_of(deepest) == END
    char = opening[:1].decode()
    assert refusal_of(deepest + opening) == f"invalid character '{char}' exceeded max depth"


def test_the_deepest_value_is_read() -> None:
    value: Value = parse(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)
    for _ in range(DEPTH_MAX - 1):
        assert isinstance(value, list)
        (value,) = value
    assert value == []


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b" null ", None),
        (b"true", True),
        (b"false\r\n", False),
        (b"-0.5e+10", Number(b"-0.5e+10")),
        (b"0", Number(b"0")),
        (b"[ ]", []),
        (b"[1,[],{}]", [Number(b"1"), [], Object()]),
        (b"{ }", Object()),
        (b'"a\\n\\"\\/\\\\u0041"', 'a\n"/\\u0041'),
        (b'"\\u00e9\\ud83d\\ude00\\u0000"', "\xe9\U0001f600\0"),
        (b'"\\ud83dx\\ude00\\ud83d\\u0041\\udc00\\ud800"', "\ufffdx\ufffd\ufffdA\ufffd\ufffd"),
        (b'"\xff\xe2\x98\xe2\x98\x83\xed\xa0\x80"', "\ufffd\ufffd\ufffd\u2603\ufffd\ufffd\ufffd"),
        (b'"\\ud83d\xed\xb8\x80"', "\ufffd\ufffd\ufffd\ufffd"),
        (b'"\x7f"', "\x7f"),
    ],
)
def test_values_are_read(data: bytes, value: Value) -> None:
    assert parse(data) == value


def test_an_object_keeps_every_field_in_its_place() -> None:
    value = parse(b'{"a" : 1 , "b":{"a":null},"a":[]}')
    assert value == Object(["a", "b", "a"], [Number(b"1"), Object(["a"], [None]), []])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"null", "null"),
        (b"true", "bool"),
        (b"1", "number"),
        (b'""', "string"),
        (b"[]", "array"),
        (b"{}", "object"),
    ],
)
def test_kinds_have_names(data: bytes, kind: str) -> None:
    assert kind_of(parse(data)) == kind


_VALUES = st.recursive(
    st.none() | st.booleans() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(_VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_json_writes_is_read_back(value: object, is_ascii: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent)
    assert _plain(parse(text.encode())) == value


def _plain(value: Value) -> object:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Object):
        return dict(zip(value.names, map(_plain, value.values), strict=True))
    return value


@given(st.binary(max_size=40))
def test_what_is_taken_is_json(data: bytes) -> None:
    """Python takes more: NaN, and a byte order mark."""
    try:
        parse(data)
    except JsonError:
        return
    json.loads(data.decode("utf-8", "surrogateescape"))
