"""From its quota on a store can only be read and emptied, on the member that is asked."""

import logging
from typing import Any

import pytest

from etcdpy.errors import QUOTA_EXCEEDED, EtcdError
from etcdpy.http.limits import Limit
from etcdpy.quota import Quota
from etcdpy.tree.command import Command, CommandKind, apply
from etcdpy.tree.paths import KEYS_PART
from etcdpy.tree.tree import Tree

SET, DELETE = CommandKind.SET, CommandKind.DELETE


def command(kind: CommandKind, path: bytes, value: bytes = b"", **more: Any) -> Command:
    return Command(kind, 0, path, value, **more)


def filled(keys: int, value: bytes = b"") -> Tree:
    tree = Tree()
    for number in range(keys):
        apply(tree, command(SET, b"/1/%03d" % number, value))
    return tree


def is_refused(quota: Quota, asked: Command) -> bool:
    try:
        quota.admit(asked)
    except EtcdError as refusal:
        return refusal.code == QUOTA_EXCEEDED
    return False


GROWING = [
    command(SET, b"/1/new"),
    command(SET, b"/1/000", b""),
    command(SET, b"/1/dir", is_dir=True),
    command(CommandKind.CREATE, b"/1/new"),
    command(CommandKind.CREATE, KEYS_PART, is_unique=True),
    command(CommandKind.UPDATE, b"/1/000", b"x"),
    command(CommandKind.COMPARE_AND_SWAP, b"/1/000", b"x"),
]
HARMLESS = [
    command(DELETE, b"/1/000"),
    command(CommandKind.COMPARE_AND_DELETE, b"/1/000"),
    command(CommandKind.SYNC, b"/"),
    command(SET, b"/1/000", is_refresh=True),
    command(CommandKind.UPDATE, b"/1/000", is_refresh=True),
    command(SET, b"/0/members/1/attributes", b"x"),
    command(CommandKind.CREATE, b"/2/users/root", b"x"),
]


@pytest.mark.parametrize("asked", GROWING, ids=repr)
def test_what_may_add_to_the_store_is_refused(asked: Command) -> None:
    assert is_refused(Quota(filled(10), 10, 0), asked)
    assert not is_refused(Quota(filled(9), 10, 0), asked)
    assert not is_refused(Quota(filled(10), 0, 0), asked)


@pytest.mark.parametrize("asked", HARMLESS, ids=repr)
def test_what_adds_nothing_and_what_the_cluster_writes_is_taken(asked: Command) -> None:
    assert not is_refused(Quota(filled(10), 10, 1), asked)


def test_bytes_count_by_themselves() -> None:
    tree = filled(10, b"1234567")
    assert is_refused(Quota(tree, 0, 100), command(SET, b"/1/new"))
    assert not is_refused(Quota(tree, 0, 101), command(SET, b"/1/new"))


def test_a_refusal_says_how_much_is_used_and_of_what() -> None:
    tree = filled(10, b"x")
    with pytest.raises(EtcdError, match=r"10 keys of 10, 40 bytes of 1000") as refused:
        Quota(tree, 10, 1000).admit(command(SET, b"/1/new"))
    assert refused.value.index == tree.index


def test_refusals_are_counted_by_what_is_exceeded() -> None:
    quota = Quota(filled(10, b"x"), 10, 1000)
    for _ in range(3):
        assert is_refused(quota, command(SET, b"/1/new"))
    assert quota.refused == {Limit.QUOTA_KEYS: 3}
    quota = Quota(filled(10, b"x"), 10, 10)
    assert is_refused(quota, command(SET, b"/1/new"))
    assert quota.refused == {Limit.QUOTA_KEYS: 1, Limit.QUOTA_BYTES: 1}


def test_it_ends_a_little_below_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tree = filled(100)
    quota = Quota(tree, 100, 0)
    for number in range(5):
        assert is_refused(quota, command(SET, b"/1/new"))
        apply(tree, command(DELETE, b"/1/%03d" % number))
    quota.look()
    assert not is_refused(quota, command(SET, b"/1/new"))
    assert caplog.messages == [
        "quota exceeded, clients can only read and delete: 100 keys of 100",
        "quota is kept again, clients can write: 95 keys of 100",
    ]
