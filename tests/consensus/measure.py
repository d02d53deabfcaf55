"""What an entry costs between `propose` and `apply`; by hand: `python -m tests.consensus.measure`.

`driver` is one member whole, with its loop, its writer and real files; what it prints is wall
clock.  `leader` and `follower` are the two sides of three members in one thread and in processor
time, from the batch of proposals to the one that carries the commit, with frames and codec and all
that writes but the fsync.  The comments in etcdpy/consensus, etcdpy/store and etcdpy/http/peers
that speak of cost have their figures from here.
"""

import asyncio
import gc
import random
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import uvloop

from etcdpy.consensus.codec import decode_messages, encode_messages
from etcdpy.consensus.core import Raft
from etcdpy.consensus.driver import Driver
from etcdpy.consensus.membership import bootstrap_entries, bootstrap_hard_state
from etcdpy.consensus.messages import (
    ConfChange,
    ConfChangeKind,
    Entry,
    Message,
    SnapshotRequest,
)
from etcdpy.consensus.pump import (
    Action,
    Apply,
    Batch,
    Persist,
    Pump,
    SendAfterPersist,
    SendNow,
)
from etcdpy.consensus.state import RaftConfig
from etcdpy.errors import FatalError
from etcdpy.http.peers.frames import FrameDecoder, FrameEncoder, FrameKind
from etcdpy.store.datadir import DataDir
from etcdpy.store.files import Files, OsFiles, UnsyncedFiles
from etcdpy.store.storage import Storage
from tests.store.helpers import SHAPES, MemberStorage

SIZES = (1, 16, 64, 256)
ENTRIES = 20_000  # a size
DATA = b"x" * 320
IDS = (1, 2, 3)


class Nothing:
    """An applier that counts, and a transport to nowhere."""

    def __init__(self) -> None:
        self.applied = 0
        self.target = 0
        self.reached = asyncio.Event()

    def apply(self, entries: Sequence[Entry]) -> Collection[int] | None:
        self.applied = entries[-1].index
        if self.applied >= self.target:
            self.reached.set()
        return None

    def send(self, messages: Sequence[Message]) -> None:
        pass

    def send_snapshot(self, request: SnapshotRequest) -> None:
        pass


def new_storage(files: Files, directory: Path, voters: Sequence[int]) -> MemberStorage:
    """Return the store of a founder."""
    directory.mkdir()
    storage: MemberStorage = Storage.create(
        DataDir.open(files, str(directory), ""), b"measured", SHAPES
    )
    entries = bootstrap_entries([ConfChange(ConfChangeKind.ADD_VOTER, one) for one in voters])
    hard_state = bootstrap_hard_state(entries)
    storage.write(hard_state, entries)
    storage.stabilise(hard_state, entries)
    return storage


async def drive(files: Files, directory: Path) -> None:
    """Print what entries cost one member, some at a time."""
    nothing = Nothing()
    fatal: list[FatalError] = []
    driver = Driver(
        RaftConfig(1),
        new_storage(files, directory, (1,)),
        nothing,
        nothing,
        tick_s=0.1,
        random_source=random.Random(1),
        on_fatal=fatal.append,
    )
    nothing.target = 2
    driver.start()
    await nothing.reached.wait()
    for size in SIZES:
        best_wall = best_cpu = float("inf")
        for _ in range(3):
            rounds = max(1, ENTRIES // size // 4)
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(rounds):
                nothing.target = nothing.applied + size
                nothing.reached.clear()
                for _ in range(size):
                    driver.propose(DATA)
                await nothing.reached.wait()
            count = rounds * size
            best_wall = min(best_wall, (time.perf_counter() - wall) / count)
            best_cpu = min(best_cpu, (time.process_time() - cpu) / count)
        print(
            f"driver, {type(files).__name__:14} {size:4} at a time"
            f" {best_wall * 1e6:8.2f} us wall {best_cpu * 1e6:8.2f} us cpu an entry"
        )
    await driver.stop()
    assert not fatal


class Side:
    """One of three members, run by hand; counts the processor time of what it does."""

    def __init__(self, member_id: int, files: Files, directory: Path) -> None:
        self.id = member_id
        self.storage = new_storage(files, directory, IDS)
        self.pump = Pump(Raft(RaftConfig(member_id), self.storage, random.Random(member_id)))
        self.encoders = {one: FrameEncoder(one) for one in IDS}
        kinds = frozenset({FrameKind.MESSAGES})
        self.decoders = {one: FrameDecoder(member_id, kinds, 1 << 30) for one in IDS}
        self.outbox: list[tuple[int, bytes]] = []
        self.spent_s = 0.0
        self.parts: dict[str, float] = {}

    def spend(self, part: str, began: float) -> None:
        took = time.thread_time() - began
        self.parts[part] = self.parts.get(part, 0.0) + took
        self.spent_s += took

    def hear(self, frames: Sequence[tuple[int, bytes]], proposals: Sequence[bytes] = ()) -> None:
        """Take frames (of one turn) and proposals, and do all that follows."""
        messages: list[Message] = []
        for sender, data in frames:
            began = time.thread_time()
            for _, payload in self.decoders[sender].feed(data):
                messages += decode_messages(payload)
            self.spend("decode", began)
        began = time.thread_time()
        actions = self.pump.begin(Batch(messages, proposals=proposals))
        self.spend("pump", began)
        self.do(actions)
        if self.pump.is_persisting:
            began = time.thread_time()
            actions = self.pump.persisted()
            self.spend("pump", began)
            self.do(actions)
        began = time.thread_time()
        has_work = self.pump.has_work
        self.spend("pump", began)
        if has_work:
            self.hear(())

    def do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            began = time.thread_time()
            if isinstance(action, (SendNow, SendAfterPersist)):
                self.send(action.messages)
                self.spend("send", began)
            elif isinstance(action, Persist):
                self.storage.write(*action)
                self.storage.stabilise(*action)
                self.spend("write", began)
            elif isinstance(action, Apply):
                self.pump.applied(action.entries[-1].index)
                self.spend("pump", began)

    def send(self, messages: Sequence[Message]) -> None:
        for to in {message.to for message in messages}:
            payload = encode_messages([message for message in messages if message.to == to])
            head = self.encoders[to].encode(FrameKind.MESSAGES, payload)
            self.outbox.append((to, head + payload))


def settle(sides: dict[int, Side]) -> int:
    """Carry frames until none is left; return how many went."""
    count = 0
    while True:
        going = [(side.id, *sent) for side in sides.values() for sent in side.outbox]
        if not going:
            return count
        count += len(going)
        for side in sides.values():
            side.outbox = []
        for to in sorted({to for _, to, _ in going}):
            sides[to].hear([(sender, data) for sender, at, data in going if at == to])


def both_sides(directory: Path) -> None:
    """Print what entries cost a leader with two followers, and one of these."""
    files = UnsyncedFiles()
    sides = {one: Side(one, files, directory / str(one)) for one in IDS}
    leader = sides[1]
    for side in sides.values():
        side.hear(())
    leader.pump.core.campaign()
    leader.hear(())
    settle(sides)
    assert leader.pump.core.state.is_leader
    for size in SIZES:
        proposals = [DATA] * size
        best: dict[int, tuple[float, dict[str, float]]] = {}
        rounds = max(1, ENTRIES // size // 4)
        frames = 0
        for _ in range(5):
            for side in sides.values():
                side.spent_s, side.parts = 0.0, {}
            for _ in range(rounds):
                leader.hear((), proposals)
                frames = settle(sides)
            for side in sides.values():
                found = (side.spent_s / (rounds * size), side.parts)
                best[side.id] = min(best.get(side.id, found), found, key=lambda one: one[0])
        for name, one in (("leader", 1), ("follower", 2)):
            cost, parts = best[one]
            shown = ", ".join(
                f"{part} {spent * 1e6 / (rounds * size):.2f}" for part, spent in parts.items()
            )
            print(f"{name:9} {size:4} at a time {cost * 1e6:8.2f} us an entry ({shown})")
        print(f"          {size:4} at a time {frames:5} frames a round")


if __name__ == "__main__":
    gc.disable()
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as at:
        for which in (OsFiles(), UnsyncedFiles()):
            uvloop.run(drive(which, Path(at) / type(which).__name__))
        both_sides(Path(at))
