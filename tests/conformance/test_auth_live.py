"""The auth API and its checks, by etcdpy and by etcd, to the byte."""

import os
from collections.abc import Iterator

import pytest

from tests.conformance.auth_sides import ROOT, Ask, agree, compare_world, counters, put
from tests.conformance.side_by_side import Pair, running_pair
from tests.harness.process import Kind

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not Kind.ETCD.is_present(), reason="the real etcd is not on PATH"),
]

SOAK_WORLDS = int(os.environ.get("ETCDPY_SOAK_EXAMPLES", "20"))


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("auth")) as both:
        yield both


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two members with a root user, on which worlds come and go."""
    with running_pair(tmp_path_factory.mktemp("worlds")) as both:
        agree(both, put("/users/root", {"user": "root", "password": "pw"}))
        yield both


# 145 requests each; etcd takes 60 ms for each of those with a password, so they are few.
@pytest.mark.parametrize("seed", range(3))
def test_the_same_is_allowed(worlds: Pair, seed: int) -> None:
    allowed = compare_world(worlds, seed, guests=130, users=15)
    assert 20 < allowed < 130


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(1000, 1000 + SOAK_WORLDS))
def test_the_same_is_allowed_in_many_worlds(worlds: Pair, seed: int) -> None:
    assert compare_world(worlds, seed, guests=300, users=300)


def user(name: str, **fields: object) -> Ask:
    return put(f"/users/{name}", {"user": name, **fields})


def role(name: str, **fields: object) -> Ask:
    return put(f"/roles/{name}", {"role": name, **fields})


def kv(read: list[str] | None = None, write: list[str] | None = None) -> dict[str, object]:
    given = {"read": read, "write": write}
    return {"kv": {verb: patterns for verb, patterns in given.items() if patterns is not None}}


def raw(path: str, body: str) -> Ask:
    return Ask("PUT", f"/v2/auth{path}", "", body)


def get(path: str, method: str = "GET") -> Ask:
    return Ask(method, f"/v2/auth{path}")


def delete(path: str) -> Ask:
    return get(path, "DELETE")


INDEX = Ask("GET", "/v2/keys/")
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE")
PATHS = (
    "",
    "/",
    "/enable",
    "/enable/",
    "/users",
    "/users/",
    "/users/a/",
    "/users/a/b",
    "/users/a%2Fb",
    "/users/a%2F",
    "/users//a",
    "/users/./a",
    "/users/%2e%2e/roles",
    "/rolesx",
    "/roles",
    "/roles/a/b/c",
    "/users/_h",
    "/users/%00",
    "/users/%ff",
)
TWO_WAYS = '"permissions":{"\u212av":{"READ":["/a"]},"kv":{"write":["/b"]}}'
NULL_LAST = '"permissions":{"kv":{"read":["/a"]}},"permissions":{"kv":{"read":null}}'
TWO_GRANTS = '"grant":{"kv":{"read":["/x"]}},"grant":{"kv":{"write":["/y"]}}'
WHILE_OFF = {
    "nothing is there": [
        get("/users"),
        get("/users/"),
        get("/users/bob"),
        get("/roles"),
        get("/roles/"),
        get("/roles/r"),
        get("/roles/root"),
        get("/enable"),
        delete("/enable"),
        put("/enable"),
        delete("/users/root/x"),
        INDEX,
    ],
    "paths and methods": [
        *(get(path, method) for method in METHODS for path in PATHS),
        get("/users?x=%zz"),
        get("/users?x=1;y"),
        get("/roles?x=%zz"),
        get("/users/none?x=%zz"),
        INDEX,
    ],
    "a first removal founds the directories": [
        delete("/users/none"),
        INDEX,
        get("/users"),
        get("/roles"),
    ],
    "users": [
        user("bob"),
        user("bob", password=""),
        user("bob", password="one"),
        INDEX,
        get("/users/bob"),
        user("bob", password="two"),
        user("bob", password="two"),
        user("bob"),
        user("bob", roles=[]),
        user("bob", roles=["r"]),
        user("bob", roles=["r"], password="x"),
        user("carol", roles=["b", "a", "b"]),
        user("carol", roles=["b", "a", "b"], password="x"),
        get("/users/carol"),
        get("/users"),
        user("carol"),
        user("carol"),
        user("dan", roles=[], password="x"),
        user("dan"),
        user("eve", password="x"),
        user("eve", grant=["b", "a"]),
        user("eve", grant=["a"]),
        user("eve", grant=["c", "c"]),
        user("eve", revoke=["none"]),
        user("eve", grant=["c"], revoke=["c"]),
        user("eve", grant=["c"], revoke=["a"]),
        user("eve", grant=["d"], password="new"),
        user("eve", grant=["root"], roles=["x"]),
        user("eve", grant=["root"], roles=[]),
        user("nobody", grant=["a"]),
        user("nobody", revoke=["a"]),
        user("_hidden", password="x"),
        user("é<&>\u2028", password="x"),
        get("/users/%C3%A9%3C&%3E%E2%80%A8"),
        get("/users/_hidden"),
        get("/users"),
        INDEX,
        delete("/users/bob"),
        delete("/users/bob"),
        delete("/users/%C3%A9%3Cnone"),
        INDEX,
    ],
    "bodies of users": [
        raw("/users/a", ""),
        raw("/users/a", "null"),
        raw("/users/a", "[]"),
        raw("/users/a", '"a"'),
        raw("/users/a", "{}"),
        raw("/users/a", '{"user":"b"}'),
        raw("/users/a", '{"user":1}'),
        raw("/users/a", '{"user":"a"'),
        raw("/users/a", '{"user":"a","roles":"x"}'),
        raw("/users/a", '{"user":"a","roles":[1]}'),
        raw("/users/a", '{"user":"a","password":"x","other":[{}]} trailing'),
        raw("/users/b", '{"USER":"b","PassWord":"x","ROLES":["r"],"\\u017f":1}'),
        raw("/users/c", '{"u\u017fer":"c","pa\u017f\u017fword":"x"}'),
        raw("/users/d", '{"user":"d","password":"x","password":"","password":null,"user":null}'),
        raw("/users/e", '{"user":"e","password":"x","roles":["a","b"],"roles":["c",null]}'),
        raw("/users/f", '{"user":"f","password":"x","roles":["a"],"roles":null,"grant":[]}'),
        raw("/users/g", '{"user":"g","password":"x","grant":["a"],"grant":[]}'),
        raw("/users/%ff", '{"user":"\\ufffd","password":"x"}'),
        raw("/users/h%20i", '{"user":"h i","password":"x"}'),
        raw("/users/1%252", '{"user":"1%2","password":"x"}'),
        get("/users"),
        INDEX,
    ],
    "the user root": [
        user("root"),
        user("root", password="pw"),
        user("root", password="pw2"),
        get("/users/root"),
        user("root", revoke=["root"]),
        user("root"),
        get("/users/root"),
        user("root", grant=["root"]),
        user("root", grant=["r"], revoke=["root"]),
        get("/users"),
        delete("/users/root"),
        user("root", roles=["a"], password="pw"),
        get("/users"),
        INDEX,
    ],
    "roles": [
        role("r1"),
        INDEX,
        role("r1"),
        get("/roles/r1"),
        get("/roles"),
        role("r2", permissions=kv(["/b", "/a", "/b"], [])),
        role("r2", grant=kv(["/y"])),
        role("r2", grant=kv(["/y"])),
        role("r2", grant=kv(None, ["/q", "/q"])),
        role("r2", grant=kv(["/z"], ["/w"]), revoke=kv(["/y", "/none"])),
        role("r2", revoke=kv(["/none"])),
        role("r2", revoke=kv(None, ["/none"])),
        role("r2", grant=kv(["/n"]), revoke=kv(["/n"])),
        role("r2", grant=kv(["/n"]), permissions=kv(["/n"])),
        role("r2", grant=kv(["/n"]), permissions=kv([], [])),
        role("r3", grant=kv([], []), revoke=None),
        get("/roles/r3"),
        role("r3", revoke=kv(["/x"])),
        get("/roles/r3"),
        role("r4", grant=kv(), revoke={}),
        get("/roles/r4"),
        role("r1", revoke=kv(["/x"])),
        role("r1", revoke=kv(["/x"])),
        role("nope", grant=kv(["/x"])),
        role("root"),
        role("root", grant=kv(["/x"])),
        role("guest", permissions=kv(["/x"])),
        role("_h", permissions=kv(["<&>"])),
        role("é", permissions=kv(["\u2028", "é*"])),
        get("/roles"),
        get("/roles/_h"),
        delete("/roles/r1"),
        delete("/roles/r1"),
        delete("/roles/root"),
        INDEX,
    ],
    "bodies of roles": [
        raw("/roles/a", ""),
        raw("/roles/a", "null"),
        raw("/roles/a", "7"),
        raw("/roles/a", '{"role":"b"}'),
        raw("/roles/a", '{"role":"a","permissions":[]}'),
        raw("/roles/a", '{"role":"a","permissions":{"kv":{"read":"/a"}}}'),
        raw("/roles/a", '{"role":"a","permissions":null,"grant":null,"revoke":{"KV":null}}x'),
        raw("/roles/b", f'{{"role":"b",{TWO_WAYS}}}'),
        raw("/roles/c", f'{{"role":"c",{NULL_LAST}}}'),
        raw("/roles/d", '{"role":"d","grant":{"kv":{"read":["/a"]}},"grant":null}'),
        raw("/roles/e", '{"role":"e","grant":{"kv":{"read":["/a"]}},"grant":{"kv":{"read":[]}}}'),
        raw("/roles/b", f'{{"role":"b",{TWO_GRANTS}}}'),
        raw("/roles/f", '{"role":"f","other":{"kv":1}}'),
        raw("/roles/g", '{"role":"g","permissions":{"kv":{"read":[null,"/a"]},"kv":{}}}'),
        get("/roles"),
        INDEX,
    ],
}


@pytest.mark.parametrize("case", WHILE_OFF)
def test_the_api_answers_and_counts_alike(pair: Pair, case: str) -> None:
    _compare(pair, WHILE_OFF[case])


# Of bob, who may read and write below /bob, and of the switch.
WHILE_ON = [
    put("/enable"),
    user("root", password="pw", roles=["x"]),
    role("r", permissions=kv(["/bob/*"], ["/bob/*"])),
    role("q", permissions=kv(["/q"])),
    user("bob", password="b" * 80, roles=["q", "none", "r"]),
    put("/enable"),
    INDEX,
    get("/enable"),
    put("/enable"),
    put("/enable", login=ROOT),
    get("/users"),
    get("/users")._replace(login="root:wrong"),
    get("/users")._replace(login="bob:" + "b" * 80),
    get("/users/bob")._replace(login="bob:" + "b" * 72),
    get("/users/bob")._replace(login="bob:" + "b" * 71),
    get("/users")._replace(login=ROOT),
    get("/users/bob")._replace(login=ROOT),
    get("/roles")._replace(login=ROOT),
    get("/users/a/b"),
    get("/users", "POST"),
    get("/enable", "POST"),
    delete("/users/root")._replace(login=ROOT),
    delete("/enable"),
    Ask("PUT", "/v2/keys/bob/x", "bob:" + "b" * 72, "value=1", is_form=True),
    Ask("PUT", "/v2/keys/q", "bob:" + "b" * 72, "value=1", is_form=True),
    Ask("GET", "/v2/keys/bob/x", "bob:" + "b" * 72),
    Ask("GET", "/v2/keys/bob/", ROOT),
    Ask("GET", "/v2/keys/bob/x"),
    Ask("POST", "/v2/members", "bob:" + "b" * 72),
    Ask("POST", "/v2/members", ROOT),
    user("bob", password="new")._replace(login=ROOT),
    Ask("GET", "/v2/keys/bob/x", "bob:" + "b" * 72),
    Ask("GET", "/v2/keys/bob/x", "bob:new"),
    user("bob", revoke=["r"])._replace(login=ROOT),
    Ask("GET", "/v2/keys/bob/x", "bob:new"),
    user("bob", grant=["r"])._replace(login=ROOT),
    Ask("GET", "/v2/keys/bob/x", "bob:new"),
    role("r", revoke=kv(["/bob/*"]))._replace(login=ROOT),
    Ask("GET", "/v2/keys/bob/x", "bob:new"),
    delete("/users/bob")._replace(login=ROOT),
    Ask("GET", "/v2/keys/bob/x", "bob:new"),
    delete("/roles/guest")._replace(login=ROOT),
    Ask("GET", "/v2/keys/bob/x"),
    Ask("GET", "/v2/keys/bob/x", "Basic"),
    Ask("GET", "/v2/keys/?wait=x"),
    user("root", revoke=["root"])._replace(login=ROOT),
    user("admin", password="pw", roles=["root"])._replace(login=ROOT),
    delete("/enable")._replace(login="admin:pw"),
    delete("/users/root"),
    put("/enable"),
    INDEX,
]


def test_what_only_some_may_is_refused_and_counted_alike(pair: Pair) -> None:
    _compare(pair, WHILE_ON)


def _compare(pair: Pair, asks: list[Ask]) -> None:
    """Compare answers and operation counters, from a fresh member on."""
    before = counters(pair)
    for asked in asks:
        agree(pair, asked)
        after = counters(pair)
        moved = [
            {name: new[name] - old[name] for name in new if new[name] != old[name]}
            for old, new in zip(before, after, strict=True)
        ]
        assert moved[0] == moved[1], asked
        before = after
