"""What of a well-formed message reaches the core, from a member and from a guest."""

from typing import Any

import pytest

from etcdpy.consensus.messages import (
    ConfState,
    Entry,
    EntryKind,
    Message,
    MessageKind,
    SnapshotMeta,
)
from etcdpy.errors import PeerError
from etcdpy.http.peers.admission import INDEX_AHEAD_MAX, TERM_AHEAD_MAX, Admission
from etcdpy.http.peers.peer import DialError, Peer
from etcdpy.http.peers.protocol import Cause
from etcdpy.http.peers.stream import OutgoingStream
from tests.http.peering import CHECKS, Node, Place, append, heartbeat, run, stop_all, until

ME, OTHER = 1, 2
TERM, LAST = 3, 7
GARBAGE = (Entry(0, 0, EntryKind.NORMAL, b"x"), Entry(0, 0, EntryKind.NORMAL, b"garbage"))
GARBAGE_CHANGE = (Entry(0, 0, EntryKind.CONF_CHANGE, b"garbage"),)


def refusal(*messages: Message, is_guest: bool, leader_id: int = 0) -> str:
    """Return why these are not admitted, nothing if they are."""
    try:
        Admission(CHECKS).check(messages, Place(TERM, leader_id, LAST), is_guest=is_guest)
    except PeerError as error:
        return str(error)
    return ""


def message(kind: MessageKind, **fields: Any) -> Message:
    return Message(kind, **({"to": ME, "sender": OTHER, "term": TERM} | fields))


SNAPSHOT = SnapshotMeta(9, TERM, ConfState((1, 2)))
GOOD = {
    kind: message(kind, snapshot=SNAPSHOT if kind is MessageKind.SNAPSHOT else None)
    for kind in MessageKind
}


@pytest.mark.parametrize("kind", MessageKind)
def test_a_member_may_say_all_and_a_guest_what_leaders_and_candidates_say(
    kind: MessageKind,
) -> None:
    assert refusal(GOOD[kind], is_guest=False) == ""
    is_heard = kind.name in {
        "APPEND",
        "HEARTBEAT",
        "PRE_VOTE",
        "VOTE",
        "SNAPSHOT",
        "TIMEOUT_NOW",
    }
    expected = "" if is_heard else f"{kind.name} of 2, which is not known here as a member"
    assert refusal(GOOD[kind], is_guest=True) == expected


@pytest.mark.parametrize("kind", ["APPEND", "HEARTBEAT", "PRE_VOTE", "VOTE", "SNAPSHOT"])
def test_a_guest_is_not_far_ahead(kind: str) -> None:
    said = GOOD[MessageKind[kind]]
    later = said._replace(term=TERM + TERM_AHEAD_MAX)
    assert refusal(later, is_guest=True) == ""
    later = later._replace(term=later.term + 1)
    assert refusal(later, is_guest=True) == f"term {later.term}, far ahead of 3"
    index = LAST + INDEX_AHEAD_MAX + 1
    for far in (said._replace(index=index), said._replace(commit=index)):
        assert refusal(far, is_guest=True) == f"{kind} with index {index}, far ahead of 7"


def test_a_guests_snapshot_is_not_far_ahead() -> None:
    index = LAST + INDEX_AHEAD_MAX + 1
    far = GOOD[MessageKind.SNAPSHOT]._replace(snapshot=SNAPSHOT._replace(index=index))
    assert refusal(far, is_guest=True) == f"SNAPSHOT with index {index}, far ahead of 7"


def test_with_a_member_that_is_far_ahead_one_has_to_catch_up() -> None:
    """A guest may have taken it there step by step; if it were not heard, it would be lost."""
    for later in (message(MessageKind.VOTE, term=2**62), message(MessageKind.APPEND, index=2**62)):
        assert refusal(later, is_guest=False) == ""


def test_a_snapshot_of_an_earlier_term_is_refused() -> None:
    early = GOOD[MessageKind.SNAPSHOT]._replace(term=TERM - 1)
    for is_guest in (False, True):
        refused = refusal(early, is_guest=is_guest)
        assert refused == "a snapshot of the leader of term 2, this is 3"


@pytest.mark.parametrize("entries", [GARBAGE, GARBAGE_CHANGE])
def test_what_could_not_be_applied_is_not_proposed(entries: tuple[Entry, ...]) -> None:
    proposal = message(MessageKind.PROPOSE, entries=entries)
    assert refusal(proposal, is_guest=False) == "an entry that can't be applied: garbage"
    fine = message(MessageKind.PROPOSE, entries=(Entry(0, 0, EntryKind.NORMAL, b"fine"),))
    assert refusal(fine, is_guest=False) == ""
    assert refusal(fine, proposal, is_guest=False) != ""  # nor what came with it


def test_what_a_guest_appends_is_read() -> None:
    append = message(MessageKind.APPEND, entries=GARBAGE)
    assert refusal(append, is_guest=True) == "an entry that can't be applied: garbage"
    assert refusal(append, is_guest=False) == ""  # a member has read it when it was proposed


@pytest.mark.parametrize("kind", ["APPEND", "HEARTBEAT", "SNAPSHOT", "TIMEOUT_NOW"])
def test_a_guest_does_not_lead_where_another_one_does(kind: str) -> None:
    claim = GOOD[MessageKind[kind]]
    for leader_id in (ME, 9):
        refused = f"2 claims to lead term 3, as {leader_id:x} does"
        assert refusal(claim, is_guest=True, leader_id=leader_id) == refused
        # What that means of a member the core says.
        assert refusal(claim, is_guest=False, leader_id=leader_id) == ""
        assert refusal(claim._replace(term=TERM + 1), is_guest=True, leader_id=leader_id) == ""
    assert refusal(claim, is_guest=True, leader_id=OTHER) == ""


def test_a_guest_does_not_commit_what_is_not_there() -> None:
    past = message(MessageKind.HEARTBEAT, commit=LAST + 1)
    assert refusal(past, is_guest=True) == "commit 8 is past the log's end 7"
    assert refusal(past, is_guest=False) == ""
    assert refusal(past._replace(commit=LAST), is_guest=True) == ""


# Through the port


def test_what_is_not_admitted_ends_the_stream_and_the_next_is_heard() -> None:
    async def test() -> None:
        one, two = Node(1), Node(2)
        one.knows(two)
        try:
            await one.start()
            await two.start()
            one.send(Message(MessageKind.TRANSFER, 2, 1, TERM, 1))
            refused = two.transport.counters.rejected
            await until(lambda: refused[Cause.BROKEN] == 1, "a guest's is refused")
            await until(lambda: one.transport.counters.failed[Cause.BROKEN] == 1, "told so")
            await until(lambda: one.has_dialled(two), "dialled again")
            one.send(heartbeat(1, 2, 1))
            await until(lambda: two.driver.contexts == [1], "heard")
            two.knows(one)
            one.send(Message(MessageKind.TRANSFER, 2, 1, TERM, 1))
            await until(lambda: len(two.driver.messages) == 2, "a member's is not")
            one.send(append(1, 2), message(MessageKind.PROPOSE, to=2, sender=1, entries=GARBAGE))
            await until(lambda: refused[Cause.BROKEN] == 2, "garbage is refused of a member too")
            assert len(two.driver.messages) == 2
        finally:
            await stop_all([one, two])

    run(test)


def test_a_guest_is_not_believed_that_this_member_was_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(peer: Peer, url: str) -> OutgoingStream:
        raise DialError(Cause.REMOVED, "removed member 1")

    async def test() -> None:
        one, two = Node(1), Node(2)
        two.knows(one)
        monkeypatch.setattr(one.transport._dialer, "open_stream", refuse)
        try:
            await one.start()
            await two.start()
            failed = one.transport.counters.failed
            await until(lambda: failed[Cause.REMOVED], "told")
            assert one.removed_by == []
            one.knows(two)
            await until(lambda: 2 in one.removed_by, "a member is believed")
        finally:
            await stop_all([one, two])

    run(test)
