"""The members as one of them knows them: whom it dials, whom it ends with, when it leaves."""

import asyncio
import random
from collections.abc import Sequence
from typing import cast

import pytest

from etcdpy.clustering.members import LINGER_ELECTIONS, LINGER_S, Cluster
from etcdpy.clustering.membership import (
    apply_change,
    change_to_add,
    change_to_remove,
    change_to_update,
)
from etcdpy.consensus.messages import ConfChange
from etcdpy.http.peers.protocol import Identity
from etcdpy.http.peers.snapshot_stream import SnapshotSource
from etcdpy.http.peers.transport import PeerTransport
from etcdpy.tree.members import Member, MemberRefusal
from etcdpy.tree.replacement import replace_state
from etcdpy.tree.tree import Tree
from tests.harness.virtual_time import run_virtual

CLUSTER_ID = 9
ME, TWO, THREE, FOUR = (Member(i, (f"http://127.0.0.1:{i}",)) for i in (1, 2, 3, 4))
ELECTION_S = 2.0


def tree_of(*changes: ConfChange) -> Tree:
    tree = Tree()
    for change in changes:
        assert apply_change(tree, change, CLUSTER_ID) is None
    return tree


class Rig:
    """Member 1 with a transport that is not started."""

    def __init__(self, tree: Tree, remotes: Sequence[Member] = ()) -> None:
        self.tree = tree
        self.transport = PeerTransport(
            Identity(CLUSTER_ID, ME.id, "3.4.23", ME.peer_urls),
            cast(SnapshotSource, None),  # nothing is sent
            checks={},
            removed=set,
            random_source=random.Random(1),
        )
        self.cluster = Cluster(tree, self.transport, ELECTION_S, remotes)

    @property
    def dialled(self) -> dict[int, tuple[str, ...]]:
        return {peer.member_id: peer.urls for peer in self.transport.peers}

    def install(self, *changes: ConfChange) -> None:
        """Put a snapshot in which these changes are applied in the place of the tree."""
        replace_state(self.tree, tree_of(*changes))
        self.cluster.follow()


ADDED = [change_to_add(member) for member in (ME, TWO, THREE)]


def test_who_is_a_member_at_the_start_is_dialled() -> None:
    async def test() -> None:
        rig = Rig(tree_of(*ADDED))
        assert rig.dialled == {2: TWO.peer_urls, 3: THREE.peer_urls}

    run_virtual(test)


def test_the_dialled_follow_the_changes() -> None:
    async def test() -> None:
        rig = Rig(tree_of(*ADDED))
        assert rig.cluster.apply(change_to_add(FOUR)) is None
        assert rig.cluster.apply(change_to_update(2, ["http://b:1", "http://a:1"])) is None
        assert rig.cluster.apply(change_to_remove(3)) is None
        assert rig.dialled == {2: ("http://b:1", "http://a:1"), 4: FOUR.peer_urls}
        await rig.transport.stop()

    run_virtual(test)


def test_a_change_without_effect_changes_nobody() -> None:
    async def test() -> None:
        rig = Rig(tree_of(*ADDED))
        before = rig.dialled
        moved = change_to_update(2, THREE.peer_urls)
        assert rig.cluster.apply(moved) is MemberRefusal.PEER_URL_EXISTS
        assert rig.cluster.apply(change_to_remove(77)) is MemberRefusal.ID_NOT_FOUND
        assert rig.dialled == before

    run_virtual(test)


def test_others_are_told_where_this_member_has_moved() -> None:
    async def test() -> None:
        rig = Rig(tree_of(*ADDED))
        assert rig.cluster.apply(change_to_update(ME.id, ["http://new:1"])) is None
        assert rig.transport.identity.peer_urls == ("http://new:1",)
        assert ME.id not in rig.dialled

    run_virtual(test)


def test_a_joining_member_dials_those_it_has_heard_of() -> None:
    async def test() -> None:
        rig = Rig(Tree(), remotes=[TWO, THREE])
        assert rig.dialled == {2: TWO.peer_urls, 3: THREE.peer_urls}

    run_virtual(test)


def test_a_snapshot_brings_its_members() -> None:
    async def test() -> None:
        rig = Rig(tree_of(*ADDED))
        rig.install(*ADDED, change_to_update(2, ["http://new:1"]), change_to_add(FOUR))
        assert rig.dialled == {2: ("http://new:1",), 3: THREE.peer_urls, 4: FOUR.peer_urls}

    run_virtual(test)


def test_a_snapshot_ends_with_those_that_it_removed() -> None:
    async def test() -> None:
        rig = Rig(tree_of(*ADDED))
        rig.install(*ADDED, change_to_remove(3))
        assert list(rig.dialled) == [2]
        await rig.transport.stop()

    run_virtual(test)


def test_a_snapshot_older_than_a_member_does_not_tell_it_that_it_was_removed() -> None:
    async def test() -> None:
        rig = Rig(Tree(), remotes=[TWO, FOUR])
        rig.install(*ADDED)  # the log after it adds member 4
        assert list(rig.dialled) == [2, 3, 4]

    run_virtual(test)


@pytest.mark.parametrize(
    ("is_told", "lingers_s"), [(True, LINGER_S), (False, LINGER_ELECTIONS * ELECTION_S)]
)
def test_a_removed_member_goes_on_for_a_while(is_told: bool, lingers_s: float) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        rig = Rig(tree_of(*ADDED))
        began_s = loop.time()
        rig.cluster.leave(is_told=is_told)
        rig.cluster.leave(is_told=True)  # to hear it again changes nothing
        await rig.cluster.removed
        assert loop.time() - began_s == pytest.approx(lingers_s)

    run_virtual(test)


def test_who_stops_meanwhile_leaves_at_once() -> None:
    async def test() -> None:
        rig = Rig(tree_of(*ADDED))
        rig.cluster.leave(is_told=True)
        rig.cluster.stop()
        await asyncio.sleep(10)
        assert not rig.cluster.removed.done()

    run_virtual(test)


def test_learners_do_not_vote_and_releases_are_as_said_last() -> None:
    async def test() -> None:
        learner = Member(3, THREE.peer_urls, is_learner=True)
        rig = Rig(tree_of(change_to_add(ME), change_to_add(TWO), change_to_add(learner)))
        assert rig.cluster.voter_ids == [1, 2]
        assert rig.cluster.releases == ["3.4.23", "", ""]
        rig.transport.peers[1].version = "3.5.0"
        assert rig.cluster.releases == ["3.4.23", "", "3.5.0"]

    run_virtual(test)
