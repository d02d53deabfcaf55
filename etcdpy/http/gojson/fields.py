"""JSON values into fields, as Go's decoder puts them into a struct.

A file of its own because what it does with names that differ in case, names that repeat, and null
can be seen by clients: a later field is decoded over the earlier one, not put in its place.
Source: spec/auth.md section 3.2, spec/members.md section 3.1.
"""

from collections.abc import Iterator

from etcdpy.http.gojson import reader as gojson_reader
from etcdpy.http.gojson.reader import JsonError, Object, Value

# Two letters beyond ASCII are, to Go, the same as two of ASCII in another case.
_FOLDED = str.maketrans({"\u017f": "s", "\u212a": "k"})


def fields_of(value: Value, target: str = "object") -> Iterator[tuple[str, Value]]:
    """Yield the fields of an object in their order, names in lower case; null has none.

    Raises: JsonError for what is no object, naming the `target` that it was meant for.
    """
    if value is None:
        return
    if not isinstance(value, Object):
        raise mismatch(value, target)
    for name, field in zip(value.names, value.values, strict=True):
        folded = name.translate(_FOLDED)
        if folded.isascii():
            yield folded.lower(), field


def string_of(field: Value, before: str, target: str = "string") -> str:
    """Return the string that a field is, null leaving what was `before`.  Raises: JsonError."""
    if field is None:
        return before
    if not isinstance(field, str):
        raise mismatch(field, target)
    return field


class StringList:
    """A Go slice of strings that is decoded into, once for each time that its name is given.

    A later array is written over an earlier one, and its nulls leave what was there, be it beyond
    the earlier array's end.
    """

    __slots__ = ("_size", "_slots", "_target")

    def __init__(self, target: str = "") -> None:
        """`target` begins what a refusal calls the field."""
        self._slots: list[str] = []
        self._size: int | None = None
        self._target = target

    def assign(self, field: Value) -> None:
        """Take the value of the field.  Raises: JsonError if it is no list of strings."""
        if field is not None and not isinstance(field, list):
            raise mismatch(field, self._target + "[]string")
        items = field or []
        self._slots += [""] * (len(items) - len(self._slots))
        for place, item in enumerate(items):
            self._slots[place] = string_of(item, self._slots[place], self._target + "string")
        self._size = None if field is None else len(items)
        if not items:
            self._slots = []

    def value(self) -> tuple[str, ...] | None:
        """Return the list, None when it was never given, or last as null."""
        return None if self._size is None else tuple(self._slots[: self._size])


def mismatch(value: Value, target: str) -> JsonError:
    """Return Go's refusal of a value of the wrong kind."""
    return JsonError(f"json: cannot unmarshal {gojson_reader.kind_of(value)} into {target}")
