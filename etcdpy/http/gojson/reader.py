"""JSON as Go's encoding/json reads it: what it takes, and what it says of the rest.

A file of its own because clients see the words of a refusal, and no library has Go's: which byte is
wrong, and in the middle of what.  As there, the whole text is judged before any of it is used, a
text that breaks off is judged as if a space followed, and bytes that are no UTF-8 are replaced, not
refused.  Nothing here knows what the values are for.
Source: spec/members.md section 3.1.
"""

import json
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from etcdpy.urls import go_quote

#: Go's bound; a parser with a stack of its own could go on, but not say the same.
DEPTH_MAX = 10_000

_SPACE = re.compile(rb"[ \t\r\n]*+")
_IN_STRING = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+')
_DIGITS = re.compile(rb"[0-9]*+")
_HEX = re.compile(rb"[0-9A-Fa-f]*+")
_SURROGATE = re.compile("[\ud800-\udfff]")

_LITERALS: dict[bytes, tuple[bytes, bool | None]] = {
    b"t": (b"true", True),
    b"f": (b"false", False),
    b"n": (b"null", None),
}


class JsonError(ValueError):
    """The text is no JSON; the message is Go's."""


class Number(NamedTuple):
    """A number, as it was written."""

    text: bytes


@dataclass(slots=True)
class Object:
    """An object in the order in which it was written; a name may repeat."""

    names: list[str] = field(default_factory=list)
    values: list["Value"] = field(default_factory=list)


Value = str | bool | Number | list["Value"] | Object | None


def parse(data: bytes) -> Value:
    """Return the value that is all of `data`.  Raises: JsonError."""
    return _Reader(data).read()


def parse_first(data: bytes) -> Value:
    """Return the value that `data` begins with, whatever follows it.  Raises: JsonError."""
    return _Reader(data).read(is_all=False)


def kind_of(value: Value) -> str:
    """Return Go's word for the kind of a value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, list):
        return "array"
    kinds = {str: "string", Number: "number", Object: "object", type(None): "null"}
    return kinds[type(value)]


def decode(data: bytes) -> str:
    """Return text in which each byte that is no UTF-8 is replaced by U+FFFD."""
    return _SURROGATE.sub("\ufffd", data.decode("utf-8", "surrogateescape"))


class _Reader:
    """Goes through one text once; nesting is on a list, not on Python's stack."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0  # the next byte

    def read(self, *, is_all: bool = True) -> Value:
        """Return the value that is the whole text, or its beginning.  Raises: JsonError."""
        open_: list[list[Value] | Object] = []  # outermost first
        while True:
            value = self._read_value(len(open_))
            if isinstance(value, list | Object) and not self._is_closed(value, is_new=True):
                open_.append(value)
                continue
            while open_:
                container = open_[-1]
                _values_of(container).append(value)
                if not self._is_closed(container, is_new=False):
                    break
                value = open_.pop()
            else:
                if is_all:
                    self._check_end()
                return value

    def _read_value(self, depth: int) -> Value:
        """Read a scalar, or the opening of what holds others."""
        char = self._next()
        if char in b"{[":
            if depth == DEPTH_MAX:
                raise self._fault(self._at, "exceeded max depth")
            self._at += 1
            return Object() if char == b"{" else []
        if char == b'"':
            return self._read_string()
        if char in b"-0123456789":
            return self._read_number()
        if char in _LITERALS:
            return self._read_literal(*_LITERALS[char])
        raise self._fault(self._at, "looking for beginning of value")

    def _is_closed(self, container: list[Value] | Object, *, is_new: bool) -> bool:
        """Go past what follows an opening or a value: a comma, an object's next name, or the end.

        Tells whether it is the end.
        """
        is_object = isinstance(container, Object)
        char = self._next()
        if char == (b"}" if is_object else b"]"):
            self._at += 1
            return True
        if not is_new:
            if char != b",":
                where = "after object key:value pair" if is_object else "after array element"
                raise self._fault(self._at, where)
            self._at += 1
        if isinstance(container, Object):
            container.names.append(self._read_name())
        return False

    def _read_name(self) -> str:
        """Read the name of an object's field and its colon."""
        if self._next() != b'"':
            raise self._fault(self._at, "looking for beginning of object key string")
        name = self._read_string()
        if self._next() != b":":
            raise self._fault(self._at, "after object key")
        self._at += 1
        return name

    def _read_string(self) -> str:
        begin = self._at
        end = self._skip(_IN_STRING, begin + 1)
        char = self._data[end : end + 1]
        if char == b'"':
            self._at = end + 1
            literal = self._data[begin : end + 1].decode("utf-8", "surrogateescape")
            text: str = json.loads(literal)
            return _SURROGATE.sub("\ufffd", text)
        if not char:
            raise JsonError("unexpected end of JSON input")
        if char != b"\\":
            raise self._fault(end, "in string literal")
        if self._data[end + 1 : end + 2] != b"u":
            raise self._fault(end + 1, "in string escape code")
        raise self._fault(self._skip(_HEX, end + 2), "in \\u hexadecimal character escape")

    def _read_number(self) -> Number:
        data, begin = self._data, self._at
        at = begin + data.startswith(b"-", begin)
        if data.startswith(b"0", at):
            at += 1
        else:
            at = self._skip_digits(at, "in numeric literal")
        if data.startswith(b".", at):
            at = self._skip_digits(at + 1, "after decimal point in numeric literal")
        if data.startswith((b"e", b"E"), at):
            at += 1
            at += data.startswith((b"+", b"-"), at)
            at = self._skip_digits(at, "in exponent of numeric literal")
        self._at = at
        return Number(data[begin:at])

    def _skip_digits(self, begin: int, where: str) -> int:
        """Return the offset behind digits, of which there must be one."""
        end = self._skip(_DIGITS, begin)
        if end == begin:
            raise self._fault(begin, where)
        return end

    def _read_literal(self, word: bytes, value: bool | None) -> bool | None:
        for offset in range(1, len(word)):
            expected = word[offset : offset + 1]
            if not self._data.startswith(expected, self._at + offset):
                where = f"in literal {word.decode()} (expecting '{expected.decode()}')"
                raise self._fault(self._at + offset, where)
        self._at += len(word)
        return value

    def _check_end(self) -> None:
        self._at = self._skip(_SPACE, self._at)
        if self._at < len(self._data):
            raise self._fault(self._at, "after top-level value")

    def _next(self) -> bytes:
        """Go past spaces and return the byte there.  Raises: JsonError at the end."""
        self._at = self._skip(_SPACE, self._at)
        if self._at == len(self._data):
            raise JsonError("unexpected end of JSON input")
        return self._data[self._at : self._at + 1]

    def _skip(self, pattern: re.Pattern[bytes], begin: int) -> int:
        """Return the offset behind what the pattern, which always matches, takes at `begin`."""
        found = pattern.match(self._data, begin)
        assert found is not None
        return found.end()

    def _fault(self, at: int, where: str) -> JsonError:
        """Return the error that names the byte at an offset, or a space behind the last."""
        char = chr(self._data[at]) if at < len(self._data) else " "
        shown = {"'": "\\'", '"': '"'}.get(char) or go_quote(char)[1:-1]
        return JsonError(f"invalid character '{shown}' {where}")


def _values_of(container: list[Value] | Object) -> list[Value]:
    return container.values if isinstance(container, Object) else container
