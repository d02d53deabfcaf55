"""Users, roles and rights as values: what is merged, what is refused in which words, what matches.

Source: spec/auth.md sections 1, 3 and 5.
"""

import pytest

from etcdpy.http.auth.rules import (
    NEW_GUEST_ROLE,
    ROOT_ROLE,
    AuthError,
    Permissions,
    Role,
    User,
    check_is_no_root_role,
    merge_role,
    merge_user,
    rights_of,
    with_root_role,
)


def role(read: tuple[str, ...] | None = None, write: tuple[str, ...] | None = None) -> Role:
    return Role("r", Permissions(read, write))


def granting(read: tuple[str, ...] = (), write: tuple[str, ...] = ()) -> Role:
    return Role("r", grant=Permissions(read, write))


def revoking(read: tuple[str, ...] = (), write: tuple[str, ...] = ()) -> Role:
    return Role("r", revoke=Permissions(read, write))


# Matching: pattern, key, allowed alone, allowed with all below it.
MATCHES = [
    ("/a", b"/a", True, False),
    ("/a", b"/a/", False, False),
    ("/a", b"/a/b", False, False),
    ("/a", b"/ab", False, False),
    ("/a", b"", False, False),
    ("/a/", b"/a/", True, False),
    ("/a/", b"/a", False, False),
    ("/d/*", b"/d/", True, True),
    ("/d/*", b"/d/x", True, True),
    ("/d/*", b"/d/x/y", True, True),
    ("/d/*", b"/d", False, False),
    ("/p*", b"/p", True, True),
    ("/p*", b"/px", True, True),
    ("/p*", b"/p/x", True, True),
    ("/p*", b"/o", False, False),
    ("*", b"", True, True),
    ("*", b"/", True, True),
    ("*", b"/_h/x", True, True),
    ("/*", b"", False, False),
    ("/*", b"/", True, True),
    ("/*", b"/x", True, True),
    ("/a*b", b"/a*b", True, False),
    ("/a*b", b"/axb", False, False),
    ("/a**", b"/a*", True, True),
    ("/a**", b"/ab", False, False),
    ("/é*", "/éx".encode(), True, True),
    ("/é*", b"/\xc3", False, False),
    ("/\ufffd", b"/\xff", False, False),
    ("", b"", False, False),
    ("", b"/a", False, False),
]


@pytest.mark.parametrize(("pattern", "key", "alone", "below"), MATCHES)
def test_a_pattern_matches_a_key_or_all_that_begins_so(
    pattern: str, key: bytes, alone: bool, below: bool
) -> None:
    reading, writing = rights_of(role(read=(pattern,))), rights_of(role(write=(pattern,)))
    for is_recursive, expected in ((False, alone), (True, below)):
        assert reading.allow(key, is_write=False, is_recursive=is_recursive) is expected
        assert writing.allow(key, is_write=True, is_recursive=is_recursive) is expected
        assert not reading.allow(key, is_write=True, is_recursive=is_recursive)
        assert not writing.allow(key, is_write=False, is_recursive=is_recursive)


def test_one_pattern_of_many_is_enough() -> None:
    rights = rights_of(role(read=("/x", "/a", "/b/*", "/c*")))
    allowed = [
        key
        for key in (b"/x", b"/a", b"/b/1", b"/c", b"/b", b"/y")
        if rights.allow(key, is_write=False, is_recursive=False)
    ]
    assert allowed == [b"/x", b"/a", b"/b/1", b"/c"]


@pytest.mark.parametrize("is_write", [False, True])
@pytest.mark.parametrize("is_recursive", [False, True])
def test_the_root_role_may_everything_and_a_new_guest_all_but_the_bare_root(
    is_write: bool, is_recursive: bool
) -> None:
    for key, guest in ((b"", False), (b"/", True), (b"/a", True)):
        for granted, expected in ((ROOT_ROLE, True), (NEW_GUEST_ROLE, guest)):
            rights = rights_of(granted)
            assert rights.allow(key, is_write=is_write, is_recursive=is_recursive) is expected


@pytest.mark.parametrize(
    ("user", "roles"),
    [
        (User("root"), ("root",)),
        (User("root", roles=()), ("root",)),
        (User("root", roles=("a",)), ("a", "root")),
        (User("root", roles=("root", "a")), ("root", "a")),
        (User("bob"), None),
        (User("bob", roles=("a",)), ("a",)),
    ],
)
def test_only_the_user_root_always_has_that_role(user: User, roles: tuple[str, ...] | None) -> None:
    assert with_root_role(user).roles == roles


def test_whoever_holds_the_root_role_is_root() -> None:
    assert [User("a", roles=r).is_root for r in (None, (), ("x",), ("x", "root"))] == [
        False,
        False,
        False,
        True,
    ]


# What is asked of bob, who has roles a and b and the hash "old", and what comes of it.
USER_CHANGES = [
    (User("bob", grant=("c",)), "", User("bob", "old", ("a", "b", "c"))),
    (User("bob", grant=("Z", "é")), "", User("bob", "old", ("Z", "a", "b", "é"))),
    (User("bob", revoke=("a",)), "", User("bob", "old", ("b",))),
    (User("bob", revoke=("a", "b")), "", User("bob", "old", ())),
    (User("bob", grant=("c",), revoke=("a",)), "", User("bob", "old", ("b", "c"))),
    (User("bob", grant=("c",), revoke=("c", "a")), "", User("bob", "old", ("b",))),
    (User("bob", password="x"), "new", User("bob", "new", ("a", "b"))),
    (User("bob", password="x", grant=("c",)), "new", User("bob", "new", ("a", "b", "c"))),
]
NOT_UPDATED = "User not updated. Use grant/revoke/password to update the user."
USER_REFUSALS = [
    (User("bob"), 400, NOT_UPDATED),
    (User("bob", grant=("c",), revoke=("c",)), 400, NOT_UPDATED),
    (User("bob", grant=("a",)), 409, "Granting duplicate role a for user bob"),
    (User("bob", grant=("c", "c")), 409, "Granting duplicate role c for user bob"),
    (User("bob", revoke=("c",)), 409, "Revoking ungranted role c for user bob"),
    (User("bob", revoke=("a", "a")), 409, "Revoking ungranted role a for user bob"),
    (User("bob", grant=("a",), revoke=("z",)), 409, "Granting duplicate role a for user bob"),
]


@pytest.mark.parametrize(("asked", "hashed", "expected"), USER_CHANGES)
def test_a_user_is_changed(asked: User, hashed: str, expected: User) -> None:
    assert merge_user(User("bob", "old", ("a", "b")), asked, hashed) == expected


@pytest.mark.parametrize(("asked", "status", "words"), USER_REFUSALS)
def test_a_change_of_a_user_is_refused(asked: User, status: int, words: str) -> None:
    with pytest.raises(AuthError) as caught:
        merge_user(User("bob", "old", ("a", "b")), asked, "")
    assert (caught.value.status, caught.value.words) == (status, words)


def test_roles_that_were_never_set_become_none_once() -> None:
    once = merge_user(User("bob", "old"), User("bob"), "")
    assert once == User("bob", "old", ())
    with pytest.raises(AuthError):
        merge_user(once, User("bob"), "")
    assert merge_user(User("bob", "old", ("b", "a", "b")), User("bob"), "").roles == ("a", "b")


# What is asked of a role that may read /a and write /w, and what comes of it.
ROLE_CHANGES = [
    (granting(("/b",)), role(("/a", "/b"), ("/w",))),
    (granting((), ("/a",)), role(("/a",), ("/a", "/w"))),
    (revoking(("/a",)), role((), ("/w",))),
    (revoking(("/a", "/none"), ("/w",)), role((), ())),
    (
        Role("r", grant=Permissions(("/b",), None), revoke=Permissions(("/a", "/b"), None)),
        role((), ("/w",)),
    ),
]
ROLE_REFUSALS = [
    (granting(("/a",)), 409, "Granting duplicate read permission /a"),
    (granting(("/b", "/b")), 409, "Granting duplicate read permission /b"),
    (granting((), ("/w",)), 409, "Granting duplicate write permission /w"),
    (revoking(("/none",)), 400, "Role not updated. Use grant/revoke to update the role."),
]


@pytest.mark.parametrize(("asked", "expected"), ROLE_CHANGES)
def test_a_role_is_changed(asked: Role, expected: Role) -> None:
    assert merge_role(role(("/a",), ("/w",)), asked) == expected


@pytest.mark.parametrize(("asked", "status", "words"), ROLE_REFUSALS)
def test_a_change_of_a_role_is_refused(asked: Role, status: int, words: str) -> None:
    with pytest.raises(AuthError) as caught:
        merge_role(role(("/a",), ("/w",)), asked)
    assert (caught.value.status, caught.value.words) == (status, words)


def test_a_list_that_was_never_set_is_emptied_once() -> None:
    once = merge_role(role(), revoking(("/x",)))
    assert once == role((), ())
    with pytest.raises(AuthError):
        merge_role(once, revoking(("/x",)))


def test_what_a_role_was_made_with_is_gone_with_its_first_change() -> None:
    made = Role("r", Permissions(("/a",), ()), grant=Permissions())
    assert merge_role(made, revoking(("/none",))) == role(("/a",), ())


@pytest.mark.parametrize(
    ("asked", "is_update"),
    [
        (Role("r"), False),
        (Role("r", grant=Permissions()), False),
        (Role("r", grant=Permissions((), ()), revoke=Permissions((), None)), False),
        (granting(("/a",)), True),
        (revoking((), ("/a",)), True),
    ],
)
def test_a_role_is_made_unless_something_is_granted_or_revoked(
    asked: Role, is_update: bool
) -> None:
    assert asked.is_update is is_update


def test_the_root_role_is_never_changed() -> None:
    check_is_no_root_role("guest")
    with pytest.raises(AuthError) as caught:
        check_is_no_root_role("root")
    assert caught.value.status == 403
    assert caught.value.words == "Cannot modify role root: is root role."
