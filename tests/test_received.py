"""A leader's snapshot: durable before it counts, read before the log begins anew, then the tree."""

import gc
from collections.abc import Iterator

import msgpack
import pytest

from etcdpy.consensus.messages import ConfState, Entry, HardState, SnapshotMeta
from etcdpy.errors import FatalError, PeerError
from etcdpy.http.peers.protocol import Cause, RefusedError
from etcdpy.received import ROOM_BYTES_MIN, ReceivedSnapshots
from etcdpy.store.storage import Limits, Recovered
from etcdpy.tree.capture import rows
from etcdpy.tree.snapshot import restore
from etcdpy.tree.tree import Tree
from tests.store.helpers import MemberStorage, open_store, simulated
from tests.store.simulated_files import SimulatedFiles

META = SnapshotMeta(40, 3, ConfState((1, 2), ()))
HARD_STATE = HardState(3, 0, 40)


@pytest.fixture(autouse=True)
def _nothing_stays_frozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def leaders_tree() -> Tree:
    tree = Tree()
    for number in range(40):
        tree.set(b"/1/k%d" % (number % 7), value=b"v%d" % number, now_ns=0)
    return tree


class Rig:
    """A member with two entries of its own that is behind, on a disk that can crash."""

    def __init__(self) -> None:
        self.files: SimulatedFiles = simulated()
        self.installed: list[tuple[SnapshotMeta, Tree]] = []
        self._start()
        first = [Entry(1, index, 0, b"own") for index in (1, 2)]
        self.storage.write(HardState(1, 1, 1), first)
        self.storage.stabilise(HardState(1, 1, 1), first)

    def _start(self) -> Recovered[Entry, HardState, SnapshotMeta]:
        _, recovered = open_store(self.files, Limits())
        self.storage: MemberStorage = recovered.storage
        self.received = ReceivedSnapshots(
            self.storage, lambda meta, tree: self.installed.append((meta, tree))
        )
        return recovered

    def restart(self) -> Recovered[Entry, HardState, SnapshotMeta]:
        """Lose what is not durable, and start again."""
        self.files = self.files.crash(0.0)
        return self._start()

    def receive(self, tree: Tree) -> None:
        """Take a whole snapshot from the peer port."""
        file = self.received.begin(META)
        packed = [msgpack.packb(row) for row in rows(tree)]
        for at in range(0, len(packed), 10):
            file.write_packed(len(packed[at : at + 10]), b"".join(packed[at : at + 10]))
        file.finish()

    def names(self) -> list[str]:
        return self.files.names("/data/snapshots")


def test_the_tree_is_handed_over_once_log_and_disk_are_the_snapshots() -> None:
    rig = Rig()
    rig.receive(leaders_tree())
    rig.received.write(HARD_STATE, META)
    assert rig.installed == []
    assert rig.storage.last_index() == 2  # readers see nothing of it yet
    rig.received.stabilise(HARD_STATE, META)
    ((meta, tree),) = rig.installed
    assert meta == META
    assert tree.digest() == leaders_tree().digest()
    assert list(tree.history) == list(leaders_tree().history)
    assert rig.storage.initial_state() == (HARD_STATE, META)
    assert (rig.storage.first_index(), rig.storage.last_index()) == (41, 40)


def test_a_tree_that_raft_does_not_take_is_let_go_once_the_log_has_reached_it() -> None:
    rig = Rig()
    rig.receive(leaders_tree())
    for applied, is_kept in ((META.index - 1, True), (META.index, False)):
        rig.received.note_applied(applied)
        assert (rig.received._prepared is not None) is is_kept


def test_what_was_written_survives_a_crash_before_it_was_visible() -> None:
    rig = Rig()
    rig.receive(leaders_tree())
    rig.received.write(HARD_STATE, META)
    recovered = rig.restart()
    assert recovered.storage.initial_state() == (HARD_STATE, META)
    assert restore(recovered.rows).digest() == leaders_tree().digest()


def test_what_was_only_received_is_forgotten_by_a_restart() -> None:
    rig = Rig()
    rig.receive(leaders_tree())
    recovered = rig.restart()
    assert recovered.storage.initial_state()[1] == SnapshotMeta()
    assert recovered.storage.last_index() == 2
    assert rig.names() == []


@pytest.mark.parametrize("is_aborted", [True, False])
def test_half_a_snapshot_leaves_nothing(is_aborted: bool) -> None:
    rig = Rig()
    file = rig.received.begin(META)
    file.write_packed(1, msgpack.packb((0,)))
    if is_aborted:
        file.abort()
    else:
        rig.restart()
    assert rig.names() == []


def test_rows_that_are_not_as_many_as_said_are_refused() -> None:
    file = Rig().received.begin(META)
    with pytest.raises(ValueError, match="not 2 packed rows"):
        file.write_packed(2, msgpack.packb((0,)))


def test_a_received_snapshot_may_come_again() -> None:
    rig = Rig()
    rig.receive(Tree())
    rig.receive(leaders_tree())
    rig.received.write(HARD_STATE, META)
    rig.received.stabilise(HARD_STATE, META)
    assert rig.installed[0][1].digest() == leaders_tree().digest()


def test_rows_that_are_no_tree_do_not_replace_the_log() -> None:
    rig = Rig()
    file = rig.received.begin(META)
    file.write_packed(1, msgpack.packb((99, "a row of a later version")))
    with pytest.raises(PeerError, match="snapshot of the tree is damaged at row 1"):
        file.finish()
    file.abort()
    assert rig.names() == []
    recovered = rig.restart()
    assert recovered.storage.initial_state() == (HardState(1, 1, 1), SnapshotMeta())
    assert recovered.storage.entries(1, 3, 10**6) == [Entry(1, i, 0, b"own") for i in (1, 2)]


MEMBER = b"/0/members/a/raftAttributes"
URLS = b'{"peerURLs":["http://127.0.0.1:1"]}'


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (b"/0/version", b"three", "no version of the cluster"),
        (b"/0/removed_members/xyz", b"", "invalid literal"),
        (b"/0/members/xyz/raftAttributes", URLS, "invalid literal"),
        (b"/0/members/0/raftAttributes", URLS, "member 0 can't be one"),
        (b"/0/members/" + b"f" * 17 + b"/raftAttributes", URLS, "can't be one"),
        (MEMBER, b"", "the rows of member a are damaged"),
        (MEMBER, b"[]", "the rows of member a are damaged"),
        (MEMBER, b"{}", "the rows of member a are damaged"),
        (MEMBER, b'{"peerURLs":[]}', "member a can't be one"),
    ],
)
def test_a_tree_of_no_cluster_is_refused(path: bytes, value: bytes, reason: str) -> None:
    rig = Rig()
    tree = leaders_tree()
    tree.set(path, value=value, now_ns=0)
    with pytest.raises(PeerError, match=reason):
        rig.receive(tree)


def test_a_snapshot_is_refused_before_it_fills_the_disk() -> None:
    rig = Rig()
    file = rig.received.begin(META)
    file.write_packed(1, b"\x01")
    rig.files.free_bytes = ROOM_BYTES_MIN + 5
    with pytest.raises(RefusedError, match=r"no room .*: 33554437 bytes are left") as refused:
        file.write_packed(6, b"\x01" * 6)
    assert refused.value.cause is Cause.NO_ROOM
    file.abort()
    assert rig.names() == []


def test_one_that_begins_to_arrive_does_not_hinder_the_one_before() -> None:
    rig = Rig()
    rig.receive(leaders_tree())
    rig.received.begin(META._replace(index=META.index + 1)).write_packed(1, msgpack.packb((0,)))
    rig.received.write(HARD_STATE, META)
    rig.received.stabilise(HARD_STATE, META)
    assert rig.installed[0][1].digest() == leaders_tree().digest()


def test_a_snapshot_that_went_away_does_not_replace_the_log() -> None:
    rig = Rig()
    with pytest.raises(FatalError, match=r"\.received: cannot open it: no such file"):
        rig.received.write(HARD_STATE, META)
    assert rig.restart().storage.last_index() == 2


def test_the_collector_goes_on_after_an_installation() -> None:
    rig = Rig()
    rig.receive(leaders_tree())
    rig.received.write(HARD_STATE, META)
    assert gc.isenabled()
