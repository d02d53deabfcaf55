"""JSON as Go's encoding/json writes it, on bytes.

A file of its own because byte-exact escaping is what clients' recorded answers hold us to and no
library does it: Go escapes `<`, `>`, `&`, U+2028 and U+2029, writes every byte that is not UTF-8 as
`\\ufffd`, and prints floats in its own form.  Nothing here knows what the values mean.
Source: spec/keys.md section 8, spec/observability.md section 0.
"""

import math
import time
from collections.abc import Mapping
from typing import Any

_NS_PER_S = 1_000_000_000

# Bytes that a string literal cannot simply contain: deleting them and comparing lengths is the
# fastest test that bytes offer.  Bytes from 0x80 on need a look (invalid, or U+2028/9).
_SPECIAL_BYTES = bytes(range(0x20)) + b'"\\<>&' + bytes(range(0x80, 0x100))


def _escapes() -> dict[int, str]:
    """Return the translation of every code point that is not written as it is."""
    table = {code: f"\\u{code:04x}" for code in (*range(0x20), *b"<>&", 0x2028, 0x2029)}
    table |= {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x22: '\\"', 0x5C: "\\\\"}
    # What `surrogateescape` makes of an invalid byte; one replacement for each, as Go does it.
    table |= {0xDC00 + byte: "\\ufffd" for byte in range(0x80, 0x100)}
    return table


_ESCAPES = _escapes()


def is_plain(text: bytes) -> bool:
    """Tell whether a JSON string literal shows `text` as it is."""
    return len(text.translate(None, _SPECIAL_BYTES)) == len(text)


def quote(text: bytes) -> bytes:
    """Return `text` as a JSON string literal, quotes included."""
    if is_plain(text):
        return b'"%b"' % text
    escaped = text.decode("utf-8", "surrogateescape").translate(_ESCAPES)
    return b'"%b"' % escaped.encode()


def format_time(unix_ns: int) -> str:
    """Return the instant as Go's RFC3339Nano in UTC: 1 to 9 fraction digits, none when zero."""
    seconds, nanoseconds = divmod(unix_ns, _NS_PER_S)
    year, month, day, hour, minute, second, *_ = time.gmtime(seconds)
    text = f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    if nanoseconds:
        text += f".{nanoseconds:09d}".rstrip("0")
    return text + "Z"


def format_duration(ns: int) -> str:
    """Return a span as Go's time.Duration prints it: `347.0852ms`, `1.472462918s`, `2m3.5s`."""
    if ns == 0:
        return "0s"
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    for unit, unit_ns in (("ns", 1), ("µs", 1000), ("ms", 1_000_000)):
        if ns < unit_ns * 1000:
            return sign + _decimal(ns, unit_ns) + unit
    minutes, rest_ns = divmod(ns, 60 * _NS_PER_S)
    hours, minutes = divmod(minutes, 60)
    text = _decimal(rest_ns, _NS_PER_S) + "s"
    if hours:
        text = f"{hours}h{minutes}m{text}"
    elif minutes:
        text = f"{minutes}m{text}"
    return sign + text


def _decimal(ns: int, unit_ns: int) -> str:
    """Return `ns` in units, with no more digits than it needs."""
    whole, rest = divmod(ns, unit_ns)
    if not rest:
        return str(whole)
    digits = len(str(unit_ns)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")


def _float(value: float) -> str:
    """Return a float as Go prints it: shortest digits, exponent below 1e-6 and from 1e21 on."""
    if not math.isfinite(value):
        raise ValueError(f"no JSON for {value}")
    size = abs(value)
    if size == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    digits = repr(value)
    if 1e-6 <= size < 1e21:
        return _plain(digits)
    mantissa, _, exponent = (digits if "e" in digits else f"{value:e}").partition("e")
    mantissa = mantissa.removesuffix(".0")
    return f"{mantissa}e{int(exponent):+03d}"


def _plain(digits: str) -> str:
    """Return what `repr` made of a float without an exponent and without a trailing `.0`."""
    if "e" in digits:
        mantissa, _, exponent = digits.partition("e")
        whole, _, fraction = mantissa.partition(".")
        sign = "-" if whole.startswith("-") else ""
        whole = whole.lstrip("-")
        shift = int(exponent)
        if shift > 0:
            fraction = fraction.ljust(shift, "0")
            whole, fraction = whole + fraction[:shift], fraction[shift:]
        else:
            padded = whole.rjust(1 - shift, "0")
            whole, fraction = padded[:shift], padded[shift:] + fraction
        digits = f"{sign}{whole}.{fraction or '0'}"
    return digits.removesuffix(".0")


def dumps(value: Any) -> bytes:
    """Return a small, shallow value (no tree of keys) as compact JSON, mappings in their order.

    Raises: TypeError for a type that JSON does not have, ValueError for a float that it does not.
    """
    if isinstance(value, str):
        return quote(value.encode("utf-8", "surrogateescape"))
    if value is None or value is True or value is False:
        return {None: b"null", True: b"true", False: b"false"}[value]
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, float):
        return _float(value).encode()
    if isinstance(value, Mapping):
        return b"{%b}" % b",".join(b"%b:%b" % (dumps(k), dumps(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return b"[%b]" % b",".join(map(dumps, value))
    raise TypeError(f"no JSON for {type(value).__name__}")
