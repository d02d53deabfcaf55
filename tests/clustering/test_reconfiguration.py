"""Changes of members: what the strict check lets through, and what becomes of a change.

Source: spec/members.md sections 1, 3.2 and 4.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping

import pytest

from etcdpy.clustering.membership import apply_change, change_to_add, peer_urls_of, token_of
from etcdpy.clustering.reconfiguration import HEALTHY_AFTER_S, Reconfiguration, Surroundings
from etcdpy.consensus.messages import ConfChange, ConfChangeKind
from etcdpy.errors import RAFT_INTERNAL, EtcdError, ReconfigurationError
from etcdpy.tree import command, members
from etcdpy.tree.members import Member, MemberRefusal
from etcdpy.tree.tree import Tree
from tests.harness.virtual_time import run_virtual

TIMEOUT_S = 7.0
ME = 1
URL = ("http://127.0.0.1:99",)
CLUSTER_ID = 9

NOT_ENOUGH_STARTED = "etcdserver: re-configuration failed due to not enough started members"
UNHEALTHY = "etcdserver: unhealthy cluster"

#: Connected for long enough, for too short a time, and not at all.
WELL, NEW, DOWN = HEALTHY_AFTER_S + 0.1, HEALTHY_AFTER_S - 0.1, None


def url_of(member_id: int) -> str:
    return f"http://127.0.0.1:{member_id}"


class Rig:
    """A member of a cluster, and a log that takes every change."""

    def __init__(
        self,
        connected: Mapping[int, float | None],
        *,
        unstarted: tuple[int, ...] = (),
        learners: tuple[int, ...] = (),
        is_strict: bool = True,
    ) -> None:
        """`connected` are the other members, and for how long."""
        self.tree = Tree()
        self.proposed: list[ConfChange] = []
        self.is_answering = True
        self.room: EtcdError | None = None
        for member_id in (ME, *connected):
            member = Member(member_id, (url_of(member_id),), is_learner=member_id in learners)
            assert apply_change(self.tree, change_to_add(member), CLUSTER_ID) is None
            if member_id not in unstarted:
                name = members.publish(member_id, f"m{member_id}", [], now_ns=0)
                command.apply(self.tree, name)
        self.reconfiguration = Reconfiguration(
            self.tree,
            ME,
            Surroundings(
                propose=self._propose,
                active_for_s=connected.get,
                explain_timeout=lambda began_s: b"began at %d" % began_s,
                timeout_s=TIMEOUT_S,
                is_strict=is_strict,
            ),
        )

    def _propose(self, change: ConfChange) -> None:
        if self.room is not None:
            raise self.room
        self.proposed.append(change)
        if self.is_answering:
            asyncio.get_running_loop().call_soon(self.commit, change)

    def commit(self, change: ConfChange) -> None:
        self.reconfiguration.applied(change, apply_change(self.tree, change, CLUSTER_ID))

    @property
    def member_ids(self) -> list[int]:
        return [member.id for member in members.list_members(self.tree)]


async def refusal_of(change: Coroutine[None, None, object]) -> str:
    """Return why a change was refused, nothing if it was not."""
    try:
        await change
    except ReconfigurationError as error:
        return error.cause
    return ""


# The strict check

ADDITIONS = [
    ({2: WELL, 3: WELL}, (), ""),
    ({2: WELL, 3: NEW}, (), UNHEALTHY),
    ({2: WELL, 3: DOWN}, (), UNHEALTHY),
    ({}, (), ""),  # one that is alone may always be joined
    ({2: WELL}, (), ""),
    ({2: DOWN}, (2,), NOT_ENOUGH_STARTED),  # the second add, before the first has started
    ({2: WELL, 3: WELL}, (3,), NOT_ENOUGH_STARTED),
    ({2: WELL, 3: WELL, 4: WELL}, (4,), ""),
    ({2: WELL, 3: WELL, 4: DOWN}, (4,), UNHEALTHY),
]


@pytest.mark.parametrize(("connected", "unstarted", "refusal"), ADDITIONS)
def test_a_member_is_added_only_to_members_that_are_well(
    connected: Mapping[int, float | None], unstarted: tuple[int, ...], refusal: str
) -> None:
    async def main() -> None:
        rig = Rig(connected, unstarted=unstarted)
        assert await refusal_of(rig.reconfiguration.add(URL)) == refusal
        assert len(rig.proposed) == (0 if refusal else 1)

    run_virtual(main)


REMOVALS = [
    (2, {2: WELL, 3: WELL}, (), ""),
    (ME, {2: WELL, 3: WELL}, (), ""),
    (3, {2: WELL, 3: DOWN}, (), ""),  # the dead one of three
    (2, {2: WELL, 3: DOWN}, (), UNHEALTHY),
    (ME, {2: WELL, 3: DOWN}, (), UNHEALTHY),
    (2, {2: NEW, 3: WELL}, (), UNHEALTHY),
    (2, {2: WELL}, (), ""),  # either of two
    (ME, {2: WELL}, (), ""),
    (ME, {}, (), NOT_ENOUGH_STARTED),  # the only one
    (ME, {2: WELL}, (2,), NOT_ENOUGH_STARTED),  # the only one that has started
    (2, {2: DOWN}, (2,), ""),
    (ME, {2: DOWN}, (), UNHEALTHY),
    (2, {2: WELL, 3: WELL, 4: DOWN, 5: WELL}, (), ""),
    (2, {2: WELL, 3: WELL, 4: DOWN, 5: DOWN}, (), UNHEALTHY),
]


@pytest.mark.parametrize(("member_id", "connected", "unstarted", "refusal"), REMOVALS)
def test_a_member_is_removed_only_if_the_others_are_a_quorum(
    member_id: int,
    connected: Mapping[int, float | None],
    unstarted: tuple[int, ...],
    refusal: str,
) -> None:
    async def main() -> None:
        rig = Rig(connected, unstarted=unstarted)
        assert await refusal_of(rig.reconfiguration.remove(member_id)) == refusal
        assert (member_id in rig.member_ids) is bool(refusal)

    run_virtual(main)


def test_a_learner_counts_for_nothing_and_may_always_be_removed() -> None:
    async def main() -> None:
        rig = Rig({2: WELL, 3: DOWN, 4: DOWN}, learners=(3, 4), unstarted=(4,))
        assert await refusal_of(rig.reconfiguration.add(URL)) == ""
        rig = Rig({2: DOWN, 3: DOWN, 4: WELL}, learners=(4,))
        assert await refusal_of(rig.reconfiguration.remove(4)) == ""

    run_virtual(main)


def test_without_the_check_anything_is_tried() -> None:
    async def main() -> None:
        rig = Rig({2: DOWN, 3: DOWN}, unstarted=(2, 3), is_strict=False)
        assert await refusal_of(rig.reconfiguration.add(URL)) == ""
        assert await refusal_of(rig.reconfiguration.remove(ME)) == ""

    run_virtual(main)


def test_new_urls_are_never_checked() -> None:
    async def main() -> None:
        rig = Rig({2: DOWN, 3: DOWN}, unstarted=(2, 3))
        assert await refusal_of(rig.reconfiguration.update(2, ["http://b:1", "http://a:1"])) == ""
        moved = next(m for m in members.list_members(rig.tree) if m.id == 2)
        assert moved.peer_urls == ("http://a:1", "http://b:1")

    run_virtual(main)


# What becomes of a change


def test_a_new_members_id_is_of_its_urls_and_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etcdpy.clustering.reconfiguration.time.time", lambda: 1795223560.9)

    async def main() -> None:
        rig = Rig({})
        added = await rig.reconfiguration.add(["http://127.0.0.1:22390", "http://10.0.0.9:1"])
        assert added.id == 0xBBA92D4E90DE408C
        assert added.peer_urls == ("http://10.0.0.9:1", "http://127.0.0.1:22390")
        assert peer_urls_of(rig.proposed[0]) == added.peer_urls
        assert added in members.list_members(rig.tree)

    run_virtual(main)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda of: of.add((url_of(2),)), MemberRefusal.PEER_URL_EXISTS),
        (lambda of: of.update(3, (url_of(2),)), MemberRefusal.PEER_URL_EXISTS),
        (lambda of: of.update(77, URL), MemberRefusal.ID_NOT_FOUND),
        (lambda of: of.remove(77), MemberRefusal.ID_NOT_FOUND),
        (lambda of: of.remove(0), MemberRefusal.ID_NOT_FOUND),
        (lambda of: of.update(0, URL), MemberRefusal.ID_NOT_FOUND),
    ],
)
def test_a_change_without_effect_says_why(
    change: Callable[[Reconfiguration], Coroutine[None, None, object]], refusal: MemberRefusal
) -> None:
    async def main() -> None:
        rig = Rig({2: WELL, 3: WELL})
        assert await refusal_of(change(rig.reconfiguration)) == refusal.value
        assert rig.member_ids == [1, 2, 3]

    run_virtual(main)


def test_an_id_that_was_removed_is_known_as_such() -> None:
    async def main() -> None:
        rig = Rig({2: WELL, 3: WELL})
        await rig.reconfiguration.remove(3)
        cause = MemberRefusal.ID_REMOVED.value
        assert await refusal_of(rig.reconfiguration.remove(3)) == cause
        assert await refusal_of(rig.reconfiguration.update(3, URL)) == cause

    run_virtual(main)


def test_an_id_that_is_nobodys_never_reaches_the_log() -> None:
    async def main() -> None:
        rig = Rig({2: WELL, 3: WELL})
        await refusal_of(rig.reconfiguration.remove(0))
        assert rig.proposed == []

    run_virtual(main)


def test_equal_changes_have_results_of_their_own() -> None:
    async def main() -> None:
        rig = Rig({2: WELL, 3: WELL})
        results = [refusal_of(rig.reconfiguration.remove(3)) for _ in range(2)]
        assert await asyncio.gather(*results) == ["", MemberRefusal.ID_REMOVED.value]

    run_virtual(main)


def test_a_change_of_another_member_answers_nobody() -> None:
    async def main() -> None:
        rig = Rig({2: WELL, 3: WELL})
        rig.is_answering = False
        mine = asyncio.ensure_future(refusal_of(rig.reconfiguration.remove(3)))
        await asyncio.sleep(0)
        rig.commit(ConfChange(ConfChangeKind.REMOVE, 3, change_to_add(Member(3, URL)).context))
        await asyncio.sleep(1.0)
        assert not mine.done()
        rig.commit(rig.proposed[0])
        assert await mine == MemberRefusal.ID_REMOVED.value

    run_virtual(main)


def test_a_change_that_is_not_applied_in_time_says_so_and_may_still_be() -> None:
    async def main() -> None:
        rig = Rig({2: WELL, 3: WELL})
        rig.is_answering = False
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        cause = await refusal_of(rig.reconfiguration.remove(3))
        assert cause == f"began at {began_s:.0f}"
        assert loop.time() - began_s == pytest.approx(TIMEOUT_S)
        rig.commit(rig.proposed[0])
        assert rig.member_ids == [1, 2]

    run_virtual(main)


def test_a_change_that_finds_no_room_says_so_at_once() -> None:
    async def main() -> None:
        rig = Rig({2: WELL, 3: WELL})
        rig.room = EtcdError(RAFT_INTERNAL, b"etcdserver: too many requests")
        cause = await refusal_of(rig.reconfiguration.remove(3))
        assert cause == "etcdserver: too many requests"

    run_virtual(main)


def test_a_client_that_goes_away_does_not_stop_its_change() -> None:
    async def main() -> None:
        rig = Rig({2: WELL, 3: WELL})
        rig.is_answering = False
        asked = asyncio.ensure_future(rig.reconfiguration.remove(3))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert asked.cancelled()
        rig.commit(rig.proposed[0])
        assert rig.member_ids == [1, 2]

    run_virtual(main)


def test_each_change_has_a_token_of_its_own() -> None:
    async def main() -> None:
        rig = Rig({2: WELL, 3: WELL}, is_strict=False)
        await rig.reconfiguration.add(URL)
        await rig.reconfiguration.update(2, ["http://b:1"])
        await rig.reconfiguration.remove(3)
        tokens = {token_of(change) for change in rig.proposed}
        assert len(tokens) == 3
        assert b"" not in tokens  # a founder's

    run_virtual(main)
