"""Requests with credentials to a pair of members, and worlds of users and roles made by chance.

A world is a set of roles, users and guest rights; what may be asked in it is drawn from small
pools in which patterns and keys meet at all edges: with and without a last slash, below, beside,
recursive, hidden, escaped.
"""

import base64
import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.conformance.normal import sort_nodes
from tests.conformance.side_by_side import Pair
from tests.http.rawsocket import FORM_HEAD, request

AUTH = "/v2/auth"
ROOT = "root:pw"


class Ask(NamedTuple):
    """One request; `login` is `name:password`, or a whole header with a space in it."""

    method: str
    target: str
    login: str = ""
    body: str | None = None
    is_form: bool = False

    def data(self) -> bytes:
        """Return the request's bytes."""
        headers = FORM_HEAD if self.is_form else b""
        body = None if self.body is None else self.body.encode()
        return request(
            self.method.encode(), self.target.encode(), authorization(self.login) + headers, body
        )


def authorization(login: str) -> bytes:
    """Return the header line of a login."""
    if not login:
        return b""
    if " " in login:
        return b"Authorization: %b\r\n" % login.encode()
    return b"Authorization: Basic %b\r\n" % base64.b64encode(login.encode())


def agree(pair: Pair, asked: Ask, *, half_close: bool = False) -> str:
    """Return what both answer, which must be the same."""
    answers = pair.ask(asked.data(), half_close=half_close)
    ours, theirs = (_with_sorted_nodes(answer) for answer in answers)
    assert ours == theirs, asked
    return ours


def _with_sorted_nodes(answer: str) -> str:
    """Return an answer with its listings in order: without being asked, neither server sorts."""
    head, _, body = answer.partition("\r\n\r\n")
    if '"nodes":[' not in body:
        return answer
    sizes: list[str] = []
    if "Transfer-Encoding: chunked" in head:  # a long one; no line of JSON ends as a chunk's do
        lines = body.split("\r\n")
        sizes, body = lines[::2], "".join(lines[1::2])
    listing = json.loads(body)
    sort_nodes(listing)
    return "\r\n".join([head, "", *sizes, json.dumps(listing)])


def put(path: str, body: Any = None, login: str = "") -> Ask:
    """Return the PUT of an object to a path below the auth API."""
    return Ask("PUT", AUTH + path, login, None if body is None else json.dumps(body))


def counters(pair: Pair) -> list[dict[str, int]]:
    """Return the operation counters of both."""
    return [member.request("GET", "/v2/stats/store").json() for member in (pair.etcdpy, pair.etcd)]


# Worlds

PATTERNS = (
    "*",
    "/*",
    "/",
    "/a",
    "/a/",
    "/a/*",
    "/a*",
    "/a/b",
    "/a/b*",
    "/d/*",
    "/d/x",
    "/d*x",
    "/_h",
    "/_h/*",
    "/é",
    "/é*",
    "/%61",
    "a",
)
KEYS = (
    "",
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/",
    "/a/b/c",
    "/ab",
    "/d",
    "/d/",
    "/d/x",
    "/d/y",
    "/_h",
    "/_h/x",
    "/%61",
    "/%C3%A9",
    "/%C3%A9x",
    "/%c3",
    "/a%2Fb",
    "/other",
)
VERBS = ("GET", "GET", "GET", "HEAD", "PUT", "PUT", "POST", "DELETE")
OPTIONS = (
    "",
    "",
    "",
    "recursive=true",
    "recursive=true",
    "recursive=1",
    "recursive=false",
    "sorted=true",
    "dir=true",
    "quorum=true",
    "wait=true",
    "wait=true&recursive=true",
    "wait=true&recursive=false&stream=true",
    "recursive=x",
    "prevExist=true",
    "prevExist=false&recursive=true",
)
OTHER_ROUTES = (
    ("GET", "/v2/members"),
    ("GET", "/v2/members/leader"),
    ("POST", "/v2/members"),
    ("PUT", "/v2/members/1"),
    ("DELETE", "/v2/members/zzz"),
    ("DELETE", "/v2/members"),
    ("GET", "/v2/machines"),
    ("GET", "/v2/stats/self"),
    ("GET", "/v2/stats/leader"),
    ("GET", "/version"),
    ("GET", "/health"),
    ("GET", "/v2/auth/enable"),
    ("DELETE", "/v2/auth/roles/none"),
    ("GET", "/v2/auth/users"),
    ("GET", "/v2/auth/users/u0"),
    ("GET", "/v2/auth/users/none"),
    ("PUT", "/v2/auth/users/u0"),
    ("DELETE", "/v2/auth/users/none"),
    ("POST", "/v2/auth/users/u0"),
    ("GET", "/v2/auth/roles"),
    ("GET", "/v2/auth/roles/r0"),
    ("PUT", "/v2/auth/roles/root"),
    ("GET", "/v2/auth/roles/a/b"),
    ("HEAD", "/v2/auth/roles"),
)
STRANGERS = ("Basic !!", "Basic", "Basic eA==", "Bearer abc", "basic  dTA6cHc=", " ")
USERS = ("u0", "u1", "u2")
LOGINS = (*(f"{user}:pw" for user in USERS * 3), "u0:wrong", "u1:", "nobody:pw")
ROLES = ("r0", "r1", "r2")


class World:
    """Roles, users and guest rights; `directions` make them, from whatever was there before."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._rights = {
            role: {verb: chance.sample(PATTERNS, chance.randrange(4)) for verb in ("read", "write")}
            for role in (*ROLES, "guest")
        }
        granted = (*ROLES, "dangling", "guest", "root")
        self._roles = {user: chance.sample(granted, chance.randrange(3)) for user in USERS}

    def directions(self) -> Iterator[Ask]:
        """Yield what makes this world, auth being off before and on after."""
        for role, rights in self._rights.items():
            yield Ask("DELETE", f"{AUTH}/roles/{role}")
            yield put(f"/roles/{role}", {"role": role, "permissions": {"kv": rights}})
        for user, roles in self._roles.items():
            yield Ask("DELETE", f"{AUTH}/users/{user}")
            asked = {"user": user, "password": "pw", "roles": roles}
            yield put(f"/users/{user}", asked)
        yield put("/enable")

    def asks(self, count: int, *, is_user: bool) -> Iterator[Ask]:
        """Yield requests by guests and strangers, or by users, whose passwords are checked."""
        chance = self._chance
        for _ in range(count):
            if is_user:
                login = chance.choice(LOGINS)
            else:
                login = chance.choice(("", "", "", chance.choice(STRANGERS)))
            yield self._ask(login)

    def _ask(self, login: str) -> Ask:
        chance = self._chance
        if chance.random() < 0.15:
            method, target = chance.choice(OTHER_ROUTES)
            return Ask(method, target, login)
        method, option = chance.choice(VERBS), chance.choice(OPTIONS)
        target = "/v2/keys" + chance.choice(KEYS) + (option and f"?{option}")
        if method in ("PUT", "POST"):
            return Ask(method, target, login, f"value={chance.randrange(10)}", is_form=True)
        return Ask(method, target, login)


def compare_world(pair: Pair, seed: int, *, guests: int, users: int) -> int:
    """Make a world on both members and compare what they answer; return how many were let in."""
    chance = random.Random(seed)
    world = World(chance)
    allowed = 0
    for asked in world.directions():
        agree(pair, asked)
    try:
        for is_user, count in ((False, guests), (True, users)):
            for asked in world.asks(count, is_user=is_user):
                answer = agree(pair, asked, half_close=True)
                allowed += " 401 " not in answer.partition("\r\n")[0]
    finally:
        agree(pair, Ask("DELETE", f"{AUTH}/enable", ROOT))
    return allowed
