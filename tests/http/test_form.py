"""Forms and media types: Go's rules, Go's texts."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.http import form
from etcdpy.http.form import EscapeError, FormError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b"", {}),
        (b"&&", {}),
        (b"a=1", {b"a": b"1"}),
        (b"a", {b"a": b""}),
        (b"a=", {b"a": b""}),
        (b"=x", {b"": b"x"}),
        (b"a=b=c", {b"a": b"b=c"}),
        (b"a=1&a=2", {b"a": b"1"}),
        (b"a=+b+&c+d=1", {b"a": b" b ", b"c d": b"1"}),
        (b"a=%2B%20%3b&%61b=%FF", {b"a": b"+ ;", b"ab": b"\xff"}),
        (b"A=1&a=2", {b"A": b"1", b"a": b"2"}),
        (b"a=\x00\xff", {b"a": b"\x00\xff"}),
    ],
)
def test_fields_are_decoded(text: bytes, values: dict[bytes, bytes]) -> None:
    found: dict[bytes, bytes] = {}
    assert form.parse(text, found) is None
    assert found == values


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (b"a=%zz", b'invalid URL escape "%zz"'),
        (b"a=%f", b'invalid URL escape "%f"'),
        (b"a=%", b'invalid URL escape "%"'),
        (b"a=%41%4", b'invalid URL escape "%4"'),
        (b"%q=1", b'invalid URL escape "%q"'),
        (b"a=%1&b=%2", b'invalid URL escape "%1"'),
        (b"a=%+b", b'invalid URL escape "% b"'),
        (b"a=1;2", b"invalid semicolon separator in query"),
        (b"a=%zz&b=;", b"invalid semicolon separator in query"),
        (b"b=;&a=%zz", b"invalid semicolon separator in query"),
    ],
)
def test_bad_fields_are_named_and_the_rest_is_read(text: bytes, cause: bytes) -> None:
    found: dict[bytes, bytes] = {}
    error = form.parse(text + b"&good=1", found)
    assert error is not None
    assert error.cause == cause
    assert found[b"good"] == b"1"


def test_what_is_there_already_stays() -> None:
    found = {b"a": b"body"}
    form.parse(b"a=query&b=%62", found)
    form.parse(b"b=later", found)
    assert found == {b"a": b"body", b"b": b"b"}


@given(st.binary())
def test_any_bytes_are_read_without_a_crash(text: bytes) -> None:
    form.parse(text, {})


@given(st.dictionaries(st.binary(min_size=1), st.binary()))
def test_escaped_fields_read_back(values: dict[bytes, bytes]) -> None:
    def escape(data: bytes) -> bytes:
        return b"".join(b"%%%02x" % byte for byte in data)

    found: dict[bytes, bytes] = {}
    text = b"&".join(escape(name) + b"=" + escape(value) for name, value in values.items())
    assert form.parse(text, found) is None
    assert found == values


@given(st.lists(st.sampled_from([b"a", b"%41", b"\n", b"%0A", b"\xff"]), min_size=1))
def test_a_long_text_is_decoded_as_its_parts(pieces: list[bytes]) -> None:
    """Wherever it is cut on the way."""
    pattern = b"".join(pieces)
    count = 20_000 // len(pattern) + 1
    assert form.unescape(pattern * count) == form.unescape(pattern) * count


def test_unescape_leaves_plus_and_refuses_what_is_no_escape() -> None:
    assert form.unescape(b"a+%2f%00b") == b"a+/\x00b"
    with pytest.raises(EscapeError):
        form.unescape(b"%2")


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        (b"%zz", b'"%zz"'),
        (b'%"\\', b'"%\\"\\\\"'),
        (b"%\n\x07", b'"%\\n\\a"'),
        (b"%\x01\x7f", b'"%\\x01\\x7f"'),
        (b"%\xff", b'"%\\xff"'),
        ("%é".encode(), '"%é"'.encode()),
        ("\u200b\U000e0001".encode(), b'"\\u200b\\U000e0001"'),
    ],
)
def test_go_quote(text: bytes, quoted: bytes) -> None:
    assert form.go_quote(text) == quoted


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (b"", b""),
        (form.FORM_TYPE, form.FORM_TYPE),
        (form.FORM_TYPE.upper(), form.FORM_TYPE),
        (form.FORM_TYPE + b"; charset=utf-8", form.FORM_TYPE),
        (form.FORM_TYPE + b";", form.FORM_TYPE),
        (form.FORM_TYPE + b" ; ", form.FORM_TYPE),
        (b"text", b"text"),
        (b'a/b; c="d; \\" e"; f=g', b"a/b"),
        (b"a/b;c=d;", b"a/b"),
    ],
)
def test_media_type(header: bytes, kind: bytes) -> None:
    assert form.media_type(header) == kind


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        (b"/", b"mime: no media type"),
        (b";", b"mime: no media type"),
        (b"foo bar", b"mime: expected slash after first token"),
        (b"foo/", b"mime: expected token after slash"),
        (b"a/b, c", b"mime: unexpected content after media subtype"),
        (b"a/b c", b"mime: unexpected content after media subtype"),
        (b"a/b; =bad", b"mime: invalid media parameter"),
        (b"a/b; c", b"mime: invalid media parameter"),
        (b"a/b; c=", b"mime: invalid media parameter"),
        (b'a/b; c="open', b"mime: invalid media parameter"),
        (b'a/b; c="line\r"', b"mime: invalid media parameter"),
        (b"a/b; c=1; C=2", b"mime: duplicate parameter name"),
    ],
)
def test_bad_media_types_are_worded_as_go_does(header: bytes, cause: bytes) -> None:
    with pytest.raises(FormError) as caught:
        form.media_type(header)
    assert caught.value.cause == cause


@given(st.binary())
def test_any_media_type_is_read_or_refused(header: bytes) -> None:
    with contextlib.suppress(FormError):
        assert form.media_type(header) == form.media_type(header).lower()
