"""The parameters of a keys request: typed values, or the refusal that needs no state.

A file of its own because the order of the checks is part of the API: every parameter is validated
for every verb, the first failure wins, and nothing has been touched by then.  A new check goes to
its place in `parse`, never in front of it or behind it.
Source: spec/keys.md sections 3 to 5.
"""

from typing import NamedTuple

from etcdpy import errors
from etcdpy.errors import EtcdError
from etcdpy.http import form
from etcdpy.http.wire import Request

UINT64_MAX = 2**64 - 1
_UINT64_DIGITS_MAX = 20

_BOOLEANS = {
    **dict.fromkeys((b"1", b"t", b"T", b"TRUE", b"true", b"True"), True),
    **dict.fromkeys((b"0", b"f", b"F", b"FALSE", b"false", b"False"), False),
}


class Params(NamedTuple):
    """What a keys request asks for; None means "not given" where that differs from a default."""

    value: bytes = b""
    is_dir: bool = False
    is_recursive: bool = False
    is_sorted: bool = False
    is_quorum: bool = False
    is_wait: bool = False
    is_stream: bool = False
    wait_index: int = 0
    prev_value: bytes | None = None
    prev_index: int = 0
    prev_exist: bool | None = None
    is_refresh: bool = False
    ttl_s: int | None = None
    is_value_hidden: bool = False


_NONE_GIVEN = Params()


def parse(request: Request) -> Params:
    """Read all parameters of a request: its query's, and those of the form that came with it.

    Raises: EtcdError 201, 202, 203, 209, 210, 211, 212, with index 0.
    """
    values: dict[bytes, bytes] = {}
    error: form.FormError | None = None
    if request.content_type:
        error = _read_form(request, values)
    if request.raw_query:
        query_error = form.parse(request.raw_query, values)
        error = error or query_error
    if error is not None:
        raise EtcdError(errors.INVALID_FORM, error.cause)
    if not values:
        return _NONE_GIVEN
    if len(values) == 1 and b"value" in values:
        return Params(values[b"value"])
    return _typed(request.method, values)


def _read_form(request: Request, values: dict[bytes, bytes]) -> form.FormError | None:
    """Add the fields of a form body to `values`; return what was wrong with it."""
    try:
        kind = form.media_type(request.content_type)
    except form.FormError as error:
        return error
    if kind != form.FORM_TYPE:
        return None
    if request.body_error:
        return form.FormError(request.body_error)
    return form.parse(request.body, values)


def _typed(method: str, values: dict[bytes, bytes]) -> Params:
    """Check and convert the values, in the order of the specification."""
    prev_index = _index(values, b"prevIndex")
    wait_index = _index(values, b"waitIndex")
    is_recursive = _boolean(values, b"recursive")
    is_sorted = _boolean(values, b"sorted")
    is_wait = _boolean(values, b"wait")
    is_dir = _boolean(values, b"dir")
    is_quorum = _boolean(values, b"quorum")
    is_stream = _boolean(values, b"stream")
    if is_wait and method != "GET":
        cause = b'"wait" can only be used with GET requests'
        raise EtcdError(errors.INVALID_FIELD, cause)
    prev_value = values.get(b"prevValue")
    if prev_value == b"":
        raise EtcdError(errors.PREV_VALUE_REQUIRED, b'"prevValue" cannot be empty')
    is_value_hidden = _boolean(values, b"noValueOnSuccess")
    ttl_s = _ttl(values)
    prev_exist = _optional_boolean(values, b"prevExist")
    is_refresh = _optional_boolean(values, b"refresh") or False
    value = values.get(b"value", b"")
    if is_refresh and value:
        raise EtcdError(errors.REFRESH_WITH_VALUE, b"A value was provided on a refresh")
    if is_refresh and ttl_s is None:
        raise EtcdError(errors.REFRESH_WITHOUT_TTL, b"No TTL value set")
    return Params(
        value=value,
        is_dir=is_dir,
        is_recursive=is_recursive,
        is_sorted=is_sorted,
        is_quorum=is_quorum,
        is_wait=is_wait,
        is_stream=is_stream,
        wait_index=wait_index,
        prev_value=prev_value,
        prev_index=prev_index,
        prev_exist=prev_exist,
        is_refresh=is_refresh,
        ttl_s=ttl_s,
        is_value_hidden=is_value_hidden,
    )


def _uint64(text: bytes) -> int | None:
    """Return the number that `text` is, None when it is not an unsigned one of 64 bits."""
    if not text.isdigit() or len(text.lstrip(b"0")) > _UINT64_DIGITS_MAX:
        return None
    number = int(text.lstrip(b"0") or b"0")
    return number if number <= UINT64_MAX else None


def _index(values: dict[bytes, bytes], name: bytes) -> int:
    """Return an index parameter, 0 when absent.  Raises: EtcdError 203."""
    text = values.get(name)
    if text is None:
        return 0
    number = _uint64(text)
    if number is None:
        raise EtcdError(errors.INDEX_NOT_A_NUMBER, b'invalid value for "%b"' % name)
    return number


def _ttl(values: dict[bytes, bytes]) -> int | None:
    """Return the TTL in seconds, None when absent or empty.  Raises: EtcdError 202."""
    text = values.get(b"ttl")
    if not text:
        return None
    number = _uint64(text)
    if number is None:
        raise EtcdError(errors.TTL_NOT_A_NUMBER, b'invalid value for "ttl"')
    return number


def _boolean(values: dict[bytes, bytes], name: bytes) -> bool:
    """Return a flag, False when absent.  Raises: EtcdError 209."""
    text = values.get(name)
    if text is None:
        return False
    flag = _BOOLEANS.get(text)
    if flag is None:
        raise EtcdError(errors.INVALID_FIELD, b'invalid value for "%b"' % name)
    return flag


def _optional_boolean(values: dict[bytes, bytes], name: bytes) -> bool | None:
    """Return a flag whose absence matters.  Raises: EtcdError 209, the name without quotes."""
    text = values.get(name)
    if text is None:
        return None
    flag = _BOOLEANS.get(text)
    if flag is None:
        raise EtcdError(errors.INVALID_FIELD, b"invalid value for %b" % name)
    return flag
