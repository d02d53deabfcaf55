"""Query strings, form bodies and media types, with Go's rules and Go's error texts.

A file of its own because these are byte parsers with no knowledge of etcd: `parse_qsl` and the
`email` package accept what etcd refuses, and word their refusals in another way.
Source: spec/keys.md section 3.
"""

import re
from urllib.parse import unquote_to_bytes

FORM_TYPE = b"application/x-www-form-urlencoded"
#: A form body may be this long; one byte more is refused.
FORM_BYTES_MAX = 10 * 1024 * 1024

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# Long texts are decoded in pieces, which is faster, and leaves other threads their turns.
_PIECE_BYTES = 8192
_PIECES = re.compile(rb"(?s).{1,%d}(?:(?<=%%)..|(?<=%%.).)?" % _PIECE_BYTES)  # no escape is cut
_NOT_TOKEN = bytes(range(0x21)) + b'()<>@,;:\\"/[]?=' + bytes(range(0x7F, 0x100))
_TOKEN = bytes(set(range(0x100)) - set(_NOT_TOKEN))
_QUOTED_IN_VALUE = frozenset(b'()<>@,;:\\"/[]?=')
_SPACE = b" \t\n\v\f\r"


class FormError(ValueError):
    """The query, the body or its media type cannot be read; `cause` is Go's text."""

    def __init__(self, cause: bytes) -> None:
        super().__init__(cause)
        self.cause = cause


class EscapeError(FormError):
    """A percent sign without two hexadecimal digits after it."""


def unescape(text: bytes) -> bytes:
    """Decode percent escapes, once; `+` stays.  Raises: EscapeError."""
    bad = _BAD_ESCAPE.search(text)
    if bad is not None:
        escape = go_quote(text[bad.start() : bad.start() + 3])
        raise EscapeError(b"invalid URL escape %b" % escape)
    if len(text) <= _PIECE_BYTES:
        return unquote_to_bytes(text)
    return b"".join(map(unquote_to_bytes, _PIECES.findall(text)))


def go_quote(text: bytes) -> bytes:
    """Return `text` as Go's strconv.Quote shows it."""
    parts = []
    for character in text.decode("utf-8", "surrogateescape"):
        code = ord(character)
        if character in '"\\':
            parts.append("\\" + character)
        elif character in _NAMED_CONTROLS:
            parts.append(_NAMED_CONTROLS[character])
        elif 0xDC80 <= code <= 0xDCFF:
            parts.append(f"\\x{code - 0xDC00:02x}")
        elif character.isprintable():
            parts.append(character)
        elif code < 0x20 or code == 0x7F:
            parts.append(f"\\x{code:02x}")
        else:
            parts.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return f'"{"".join(parts)}"'.encode()


_NAMED_CONTROLS = dict(zip("\a\b\f\n\r\t\v", (rf"\{c}" for c in "abfnrtv"), strict=True))


def parse(text: bytes, values: dict[bytes, bytes]) -> FormError | None:
    """Add the fields of a query or form body to `values`, where the first of a name stays.

    A bad field is left out and the rest is read on, as etcd does; the error is returned, since
    the caller weighs it against those of other parts.
    """
    if b"%" not in text and b";" not in text:
        for field in text.replace(b"+", b" ").split(b"&"):
            if field:
                name, _, value = field.partition(b"=")
                if name not in values:
                    values[name] = value
        return None
    return _parse_escaped(text, values)


def _parse_escaped(text: bytes, values: dict[bytes, bytes]) -> FormError | None:
    """Do the work of `parse` for text that has escapes or semicolons."""
    error: FormError | None = None
    for field in text.split(b"&"):
        if b";" in field:
            error = FormError(b"invalid semicolon separator in query")
            continue
        if not field:
            continue
        raw_name, _, raw_value = field.partition(b"=")
        try:
            name = unescape(raw_name.replace(b"+", b" "))
            value = unescape(raw_value.replace(b"+", b" "))
        except EscapeError as bad_escape:
            error = error or bad_escape
            continue
        values.setdefault(name, value)
    return error


def media_type(header: bytes) -> bytes:
    """Return the lower-case media type of a Content-Type header; an absent one has none.

    Raises: FormError as Go's mime.ParseMediaType words it.
    """
    if header == FORM_TYPE or not header:
        return header
    base, mark, rest = header.partition(b";")
    kind = base.lower().strip(_SPACE)
    _check_type(kind)
    _check_parameters(mark + rest)
    return kind


def _token(text: bytes) -> tuple[bytes, bytes]:
    """Split a leading token off."""
    rest = text.lstrip(_TOKEN)
    return text[: len(text) - len(rest)], rest


def _check_type(kind: bytes) -> None:
    """Raise FormError unless `kind` is `token` or `token/token`."""
    first, rest = _token(kind)
    if not first:
        raise FormError(b"mime: no media type")
    if not rest:
        return
    if rest[:1] != b"/":
        raise FormError(b"mime: expected slash after first token")
    second, rest = _token(rest[1:])
    if not second:
        raise FormError(b"mime: expected token after slash")
    if rest:
        raise FormError(b"mime: unexpected content after media subtype")


def _check_parameters(text: bytes) -> None:
    """Raise FormError unless `text` is a list of `; name=value` and perhaps a last `;`."""
    seen: set[bytes] = set()
    text = text.lstrip(_SPACE)
    while text:
        name, rest = _parameter(text)
        if not name:
            if text.strip(_SPACE) == b";":
                return
            raise FormError(b"mime: invalid media parameter")
        if name in seen:
            raise FormError(b"mime: duplicate parameter name")
        seen.add(name)
        text = rest.lstrip(_SPACE)


def _parameter(text: bytes) -> tuple[bytes, bytes]:
    """Take one `; name=value` off; the name is empty where there is none."""
    if text[:1] != b";":
        return b"", text
    name, rest = _token(text[1:].lstrip(_SPACE))
    rest = rest.lstrip(_SPACE)
    if not name or rest[:1] != b"=":
        return b"", text
    value = rest[1:].lstrip(_SPACE)
    rest = _after_value(value)
    if rest == value:
        return b"", text
    return name.lower(), rest


def _after_value(text: bytes) -> bytes:
    """Return what follows a token or quoted string; `text` itself when there is neither."""
    if text[:1] != b'"':
        return _token(text)[1]
    position = 1
    while position < len(text):
        byte = text[position]
        if byte == ord('"'):
            return text[position + 1 :]
        if byte in b"\r\n":
            return text
        follows = text[position + 1 : position + 2]
        is_escape = byte == ord("\\") and follows and follows[0] in _QUOTED_IN_VALUE
        position += 2 if is_escape else 1
    return text
