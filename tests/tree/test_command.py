"""Commands: their bytes, which stand in logs, and what each does."""

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.errors import KEY_NOT_FOUND, EtcdError
from etcdpy.tree.command import APPLY, Command, CommandKind, apply, decode, encode
from etcdpy.tree.event import Event
from etcdpy.tree.tree import Tree

INT64 = st.integers(-(2**63), 2**63 - 1)
UINT64 = st.integers(0, 2**64 - 1)

COMMANDS = st.builds(
    Command,
    kind=st.sampled_from(CommandKind),
    now_ns=INT64,
    path=st.lists(st.sampled_from([b"1", b"\xff\x00", b".x", b"..."])).map(
        lambda names: b"/" + b"/".join(names)
    ),
    value=st.binary(max_size=20),
    is_dir=st.booleans(),
    is_recursive=st.booleans(),
    is_unique=st.booleans(),
    is_refresh=st.booleans(),
    expiration_ns=st.none() | INT64,
    prev_value=st.none() | st.binary(max_size=9),
    prev_index=UINT64,
    limit=UINT64,
)


@given(COMMANDS)
def test_decode_gives_back_what_was_encoded(command: Command) -> None:
    assert decode(encode(command)) == command


def test_the_bytes_of_a_command_do_not_change() -> None:
    command = Command(CommandKind.SET, 7, b"/1/a", b"v", expiration_ns=9)
    assert encode(command).hex() == "9c0107c4042f312f61c40176c2c2c2c209c00000"


def test_missing_last_fields_take_their_defaults() -> None:
    data = msgpack.packb([5, 7, b"/1/a"])
    assert decode(data) == Command(CommandKind.DELETE, 7, b"/1/a")


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [1],
        [1, 2, "/1/a"],
        [1, 2, b"/1/a", b"v", 1],
        [1, None],
        [True, 2],
        [1, 2.5],
        [99, 2],
        [1, 2, b"1/a"],
        [1, 2, b""],
        [1, 2, b"/1//a"],
        [1, 2, b"/1/a/"],
        [1, 2, b"/1/../0"],
        [1, 2, b"/1/."],
        [*Command(1, 2), 0],
        {b"a": 2},
        7,
    ],
    ids=str,
)
def test_what_is_no_command_is_refused(pieces: Any) -> None:
    with pytest.raises(ValueError, match="not a command"):
        decode(msgpack.packb(pieces))


@given(st.binary(max_size=40))
def test_arbitrary_bytes_are_refused_or_a_command(data: bytes) -> None:
    try:
        command = decode(data)
    except ValueError:
        return
    assert command.kind in APPLY


def test_each_kind_has_a_handler() -> None:
    assert set(APPLY) == set(CommandKind)


def test_apply_does_what_the_kind_says() -> None:
    tree = Tree()
    path = b"/1/a"
    steps = [
        (Command(CommandKind.SET, 0, path, b"1"), "set"),
        (Command(CommandKind.UPDATE, 0, path, b"2", is_refresh=False), "update"),
        (Command(CommandKind.COMPARE_AND_SWAP, 0, path, b"3", prev_value=b"2"), "compareAndSwap"),
        (Command(CommandKind.COMPARE_AND_DELETE, 0, path, prev_index=3), "compareAndDelete"),
        (Command(CommandKind.CREATE, 0, b"/1/q", is_unique=True, is_dir=True), "create"),
        (Command(CommandKind.DELETE, 0, b"/1/q", is_recursive=True), "delete"),
    ]
    for command, action in steps:
        outcome = apply(tree, command)
        assert isinstance(outcome, Event)
        assert outcome.action == action
    assert tree.index == len(steps)


def test_sync_gives_the_list_of_what_expired() -> None:
    tree = Tree()
    now_ns = 1_790_000_000 * 10**9
    for name in (b"b", b"a"):
        apply(tree, Command(CommandKind.SET, now_ns, b"/1/" + name, expiration_ns=now_ns))
    assert apply(tree, Command(CommandKind.SYNC, now_ns)) == []
    outcome = apply(tree, Command(CommandKind.SYNC, now_ns, limit=10))
    assert isinstance(outcome, list)
    assert [event.node.key for event in outcome] == [b"/1/a", b"/1/b"]


def test_a_refusal_is_an_outcome_too() -> None:
    with pytest.raises(EtcdError) as caught:
        apply(Tree(), Command(CommandKind.UPDATE, 0, b"/1/none"))
    assert caught.value.code == KEY_NOT_FOUND
