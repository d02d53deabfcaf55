"""Users and roles as JSON: what Go's decoder makes of a body, and what is stored and shown."""

import pytest

from etcdpy.http.auth import documents as auth_json
from etcdpy.http.auth.rules import ROOT_ROLE, Permissions, Role, User
from etcdpy.http.gojson.reader import JsonError

USERS = [
    (b"null", User("")),
    (b"{}", User("")),
    (b'{"user":"a"}', User("a")),
    (b'{"user":"a","password":"p","roles":null}', User("a", "p")),
    (b'{"user":"a","roles":[]}', User("a", roles=())),
    (b'{"user":"a","roles":["y","x","y"]}', User("a", roles=("y", "x", "y"))),
    (b'{"user":"a","grant":["g"],"revoke":["r"]}', User("a", grant=("g",), revoke=("r",))),
    (b'{"USER":"a","passWord":"p"}', User("a", "p")),
    (b'{"u\xc5\xbfer":"a"}', User("a")),
    (b'{"user":"a","user":null,"password":"p","password":"q"}', User("a", "q")),
    (b'{"roles":["a","b"],"roles":["c"]}', User("", roles=("c",))),
    (b'{"roles":["a","b"],"roles":[null,"c"]}', User("", roles=("a", "c"))),
    (b'{"roles":["a","b"],"roles":["c"],"roles":[null,null]}', User("", roles=("c", "b"))),
    (b'{"roles":["a"],"roles":null}', User("")),
    (b'{"other":{"user":"x"},"user":"a"}', User("a")),
    (b'{"user":"a"}}', User("a")),
    (b' {"user":"a"} {"user":"b"}', User("a")),
    (b'{"user":"\\ud800\xff"}', User("\ufffd\ufffd")),
]
BAD = [
    b"",
    b" ",
    b"[]",
    b'"a"',
    b"1",
    b"true",
    b"{",
    b'{"user":"a"',
    b'{"user":1}',
    b'{"user":"a","roles":"b"}',
    b'{"user":"a","roles":{}}',
    b'{"user":"a","roles":[1]}',
    b"{'user':'a'}",
]


@pytest.mark.parametrize(("data", "expected"), USERS)
def test_a_user_is_read(data: bytes, expected: User) -> None:
    assert auth_json.read_user(data) == expected


@pytest.mark.parametrize("data", BAD)
def test_what_is_no_user_is_refused(data: bytes) -> None:
    with pytest.raises(JsonError):
        auth_json.read_user(data)


ROLES = [
    (b"null", Role("")),
    (b'{"role":"r"}', Role("r")),
    (b'{"role":"r","permissions":{"kv":{}}}', Role("r")),
    (b'{"permissions":{"kv":{"read":["/a"],"write":[]}}}', Role("", Permissions(("/a",), ()))),
    (b'{"permissions":{"\xe2\x84\xaaV":{"Read":["/a"]}}}', Role("", Permissions(("/a",)))),
    (b'{"permissions":null,"grant":null}', Role("")),
    (b'{"grant":{},"revoke":{"kv":null}}', Role("", Permissions(), Permissions(), Permissions())),
    (b'{"grant":{"kv":{"read":["/a"]}},"grant":null}', Role("")),
    (
        b'{"grant":{"kv":{"read":["/a"]}},"grant":{"kv":{"write":["/b"]}}}',
        Role("", grant=Permissions(("/a",), ("/b",))),
    ),
    (b'{"permissions":{"other":{"read":["/a"]},"kv":{"other":1}}}', Role("")),
]


@pytest.mark.parametrize(("data", "expected"), ROLES)
def test_a_role_is_read(data: bytes, expected: Role) -> None:
    assert auth_json.read_role(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"role":[]}',
        b'{"permissions":[]}',
        b'{"permissions":{"kv":[]}}',
        b'{"permissions":{"kv":{"read":"/a"}}}',
        b'{"grant":1}',
        b'{"revoke":{"kv":{"write":[true]}}}',
    ],
)
def test_what_is_no_role_is_refused(data: bytes) -> None:
    with pytest.raises(JsonError):
        auth_json.read_role(data)


def test_what_is_written_is_as_etcd_stores_it() -> None:
    user = User("bob", "$2a$10$x", ("r",))
    assert auth_json.render_user(user) == b'{"user":"bob","password":"$2a$10$x","roles":["r"]}'
    role = Role("r", Permissions(("/<",), ()))
    stored = b'{"role":"r","permissions":{"kv":{"read":["/\\u003c"],"write":[]}}}'
    assert auth_json.render_role(role) == stored
    odd = Role("r", grant=Permissions())
    assert auth_json.render_role(odd) == (
        b'{"role":"r","permissions":{"kv":{"read":null,"write":null}},'
        b'"grant":{"kv":{"read":null,"write":null}}}'
    )


@pytest.mark.parametrize(
    "user", [User("a"), User("é<&>\u2028", "h", ()), User("_", "h", ("b", "a", "b"))]
)
def test_a_stored_user_is_read_as_it_was(user: User) -> None:
    assert auth_json.read_user(auth_json.render_user(user)) == user


@pytest.mark.parametrize(
    "role",
    [Role("a"), Role("b", Permissions((), ("/é*", ""))), Role("c", revoke=Permissions((), None))],
)
def test_a_stored_role_is_read_as_it_was(role: Role) -> None:
    assert auth_json.read_role(auth_json.render_role(role)) == role


def test_lists_show_roles_in_full_and_no_password() -> None:
    assert auth_json.render_users([]) == b'{"users":null}'
    listed = auth_json.render_users([(User("a", "hash"), []), (User("b", "hash"), [ROOT_ROLE])])
    root = b'{"role":"root","permissions":{"kv":{"read":["/*"],"write":["/*"]}}}'
    assert listed == b'{"users":[{"user":"a"},{"user":"b","roles":[%b]}]}' % root
    assert auth_json.render_roles([ROOT_ROLE]) == b'{"roles":[%b]}' % root
