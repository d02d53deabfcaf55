"""What two runs of one scenario may differ in, taken out; what must not, checked on the way.

| value | rule |
|---|---|
| `expiration` | a placeholder, once its form and its distance from now + `ttl` are right |
| `X-Etcd-Cluster-Id`, `X-Raft-Index`, `X-Raft-Term` | placeholders; raft's are kept on request |
| `Content-Length` | left out where the body has an expiration, whose digits vary |
| `nodes` not asked to be sorted | sorted by key |
| `Date` and the CORS headers | must be there; CORS ones are shown on request |
| indexes | kept as they are: a fresh member is at 3 |
"""

import json
import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

KEPT = (
    "Allow",
    "Content-Length",
    "Content-Type",
    "Location",
    "Transfer-Encoding",
    "X-Content-Type-Options",
    "X-Etcd-Cluster-Id",
    "X-Etcd-Index",
    "X-Raft-Index",
    "X-Raft-Term",
)
CORS = {
    "Access-Control-Allow-Headers": "accept, content-type, authorization",
    "Access-Control-Allow-Methods": "POST, GET, OPTIONS, PUT, DELETE",
    "Access-Control-Allow-Origin": "*",
}
PLACEHOLDERS = {
    "X-Etcd-Cluster-Id": "<cluster-id>",
    "X-Raft-Index": "<raft-index>",
    "X-Raft-Term": "<raft-term>",
}
_EXPIRATION = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{0,8}[1-9])?Z")
# A loaded machine may be this late between the server's clock and ours.
_SLACK_S = 1.0


class NormalError(AssertionError):
    """A value that varies is not of the form that it must have."""


def headers(
    found: Mapping[str, str], *, is_volatile: bool, has_cors: bool, has_raft: bool
) -> dict[str, str]:
    """Return the headers that a recording shows."""
    for name, value in CORS.items():
        if found.get(name) != value:
            raise NormalError(f"{name} is not {value!r}: {dict(found)}")
    if "Date" not in found:
        raise NormalError(f"no Date: {dict(found)}")
    if "Server" in found:
        raise NormalError(f"a Server header: {found['Server']}")
    shown = dict(CORS) if has_cors else {}
    for name in KEPT:
        if name not in found or (name == "Content-Length" and is_volatile):
            continue
        is_kept = name not in PLACEHOLDERS or (has_raft and name.startswith("X-Raft"))
        shown[name] = found[name] if is_kept else PLACEHOLDERS[name]
    return shown


def body(value: Any, *, is_new: bool) -> tuple[Any, bool]:
    """Return a JSON value with placeholders, and whether there were expirations in it.

    `is_new` says that `ttl` was computed just now: node and expiration must fit each other.
    """
    if isinstance(value, list):
        pairs = [body(item, is_new=is_new) for item in value]
        return [pair[0] for pair in pairs], any(pair[1] for pair in pairs)
    if not isinstance(value, dict):
        return value, False
    if "expiration" in value:
        _check_expiration(value["expiration"], value.get("ttl"), is_new=is_new)
    shown: dict[str, Any] = {}
    is_volatile = "expiration" in value
    for name, item in value.items():
        part, is_part_volatile = body(item, is_new=is_new and name != "prevNode")
        shown[name] = "<expiration>" if name == "expiration" else part
        is_volatile = is_volatile or is_part_volatile
    return shown, is_volatile


def _check_expiration(text: str, ttl_s: int | None, *, is_new: bool) -> None:
    match = _EXPIRATION.fullmatch(text)
    if match is None:
        raise NormalError(f"not an RFC3339 time with the fewest digits: {text!r}")
    if is_new and ttl_s is not None:
        moment_s = datetime.fromisoformat(match[1] + "+00:00").timestamp()
        left_s = moment_s + float(match[2] or 0) - time.time()
        if not ttl_s - 1 - _SLACK_S < left_s < ttl_s + _SLACK_S:
            raise NormalError(f"expires in {left_s:.3f} s, but ttl is {ttl_s}: {text}")


def sort_nodes(value: Any) -> bool:
    """Sort every `nodes` by key; tell whether there was anything to sort."""
    if not isinstance(value, dict):
        return False
    was_sorted = False
    nodes = value.get("nodes", [])
    if len(nodes) > 1:
        was_sorted = True
        nodes.sort(key=lambda node: node["key"].encode("utf-8", "surrogatepass"))
    for child in (*nodes, value.get("node"), value.get("prevNode")):
        was_sorted = sort_nodes(child) or was_sorted
    return was_sorted


def is_sorted_asked(path: str) -> bool:
    """Tell whether a request asks for sorted nodes."""
    fields = parse_qsl(urlsplit(path).query, keep_blank_values=True)
    return any(k == "sorted" and v in ("1", "t", "T", "TRUE", "true", "True") for k, v in fields)


def parse_json(data: bytes, headers_found: Mapping[str, str]) -> Any:
    """Return the JSON value of a body that says it is one, else its text."""
    if headers_found.get("Content-Type") == "application/json" and data:
        return json.loads(data)
    return data.decode()
