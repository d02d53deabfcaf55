"""A recording as it reads on a server that has lived longer: every index is that much higher.

A recording begins on a fresh member, whose store is at index 3.  Where members are shared by many
recordings, `begin` empties the tree and brings the last three events out of sight, as a fresh
member's are; then what follows is the recording with all indexes moved by the same distance.
"""

import json
import re
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from tests.conformance import transcript
from tests.conformance.record import FRESH_INDEX
from tests.conformance.transcript import Step
from tests.harness.process import Member

#: Where the log of a member is when its store is at FRESH_INDEX: there is the first entry too.
FRESH_RAFT_INDEX = 4
FRESH_RAFT_TERM = 2
#: Numbers that no index reaches, which stand for other things.
_INDEX_DIGITS_MAX = 9

_FIELD = re.compile(
    r'((?:modifiedIndex|createdIndex|index)\\?":|"X-Etcd-Index":"|(?:prevIndex|waitIndex)=)'
    r'(0*)([1-9]\d{0,8})(?=[&",}\\])'
)
_NAME_IN_ORDER = re.compile(r"/(0{11}\d{9})(?!\d)")
_CLEARED = re.compile(r"\[(\d+)/(\d+)\]")
_COMPARED = re.compile(r"\[(\d+) != (\d+)\]")
#: Values whose length decides how a response is framed.
_FRAMED_VALUE = re.compile(r"x{1000,}")
_TOP = re.compile(r"^/v2/keys/([^/?]+)")


@dataclass(frozen=True, slots=True)
class Distance:
    """How much further a member is than a fresh one."""

    store: int
    raft: int
    term: int


def begin(member: Member, member_id: str) -> Distance:
    """Make a member with an empty tree look like a fresh one; return how far it is from one."""
    update = json.dumps({"peerURLs": [member.advertised_peer_url]})
    with member.connect() as connection:
        for _ in range(FRESH_INDEX):  # writes beside the users' tree, as a fresh member's are
            path = f"/v2/members/{member_id}"
            answer = connection.request("PUT", path, update, {"Content-Type": "application/json"})
            assert answer.status == 204
    answer = member.request("GET", "/v2/keys/")
    return Distance(
        answer.index - FRESH_INDEX,
        int(answer.headers["x-raft-index"]) - FRESH_RAFT_INDEX,
        int(answer.headers["x-raft-term"]) - FRESH_RAFT_TERM,
    )


def clear(member: Member, steps: list[Step]) -> None:
    """Delete all that a recording has left behind."""
    listed = member.request("GET", "/v2/keys/").json()["node"].get("nodes", [])
    names = {quote(node["key"][1:]) for node in listed}
    # Hidden ones, and those whose bytes are not shown as they are.
    names |= {
        name for step in steps for name in _TOP.findall(step.get("request", {}).get("path", ""))
    }
    for name in sorted(names):
        member.request("DELETE", f"/v2/keys/{name}?recursive=true")


def moved(step: Step, by: Distance) -> Step:
    """Return a step with its indexes moved, in the request and in the response."""
    text = _FIELD.sub(lambda m: f"{m[1]}{m[2]}{int(m[3]) + by.store}", transcript.render(step))
    text = _NAME_IN_ORDER.sub(lambda m: f"/{int(m[1]) + by.store:020}", text)
    text = _CLEARED.sub(lambda m: f"[{int(m[1]) + by.store}/{int(m[2]) + by.store}]", text)
    if "prevIndex" in text:  # without one it is values that were compared
        text = _COMPARED.sub(partial(_moved_comparison, by=by), text)
    found: Step = json.loads(text)
    response = found.get("response", {})
    headers = response.get("headers", {})
    for name, further in (("X-Raft-Index", by.raft), ("X-Raft-Term", by.term)):
        if headers.get(name, "").isdigit():
            headers[name] = str(int(headers[name]) + further)
    if "Content-Length" in headers and "body" in response:
        longer = len(json.dumps(response["body"])) - len(json.dumps(step["response"]["body"]))
        headers["Content-Length"] = str(int(headers["Content-Length"]) + longer)
    return found


def _moved_comparison(match: re.Match[str], by: Distance) -> str:
    given, found = (int(text) for text in match.groups())
    given += by.store if 0 < given < 10**_INDEX_DIGITS_MAX else 0
    return f"[{given} != {found + by.store}]"


def is_even(steps: list[Step], by: Distance) -> bool:
    """Tell whether all indexes of the responses become longer by as many digits."""
    return len(set(_added_digits(steps, by))) == 1


def shortened(steps: list[Step], by: Distance) -> list[Step]:
    """Return steps with long values as much shorter as the two indexes of a node become longer.

    So the bodies keep the lengths that were recorded, around the one from which there are chunks.
    """
    (digits,) = set(_added_digits(steps, by))
    return [_with_shorter_values(step, 2 * digits) for step in steps]


def _added_digits(steps: list[Step], by: Distance) -> list[int]:
    indexes = [int(step["response"]["headers"]["X-Etcd-Index"]) for step in steps]
    return [len(str(index + by.store)) - len(str(index)) for index in indexes]


def _with_shorter_values(step: Step, count: int) -> Step:
    text = transcript.render(step)
    found: Step = json.loads(_FRAMED_VALUE.sub(lambda match: match[0][count:], text))
    headers, body = found["response"]["headers"], found["response"]["body"]
    if "Content-Length" in headers:
        shorter = len(json.dumps(step["response"]["body"])) - len(json.dumps(body))
        headers["Content-Length"] = str(int(headers["Content-Length"]) - shorter)
    return found


def comparable(step: Step) -> dict[str, Any]:
    """Return a step without the length of a body that is not there to explain it."""
    if step.get("request", {}).get("method") != "HEAD":
        return step
    headers = {k: v for k, v in step["response"]["headers"].items() if k != "Content-Length"}
    return {**step, "response": {**step["response"], "headers": headers}}
