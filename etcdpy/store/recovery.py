"""Which snapshot and which part of the log a restart goes on from.

A file of its own because this is the decision on which no data may be lost: the newest whole
snapshot that is a point of the log, and all of the log after it.  An older snapshot takes the place
of a damaged one only where the log reaches back to it.  Nothing is changed on disk before all has
been read and found to fit together.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from etcdpy.errors import FatalError
from etcdpy.store.files import Files
from etcdpy.store.record import EntryTuple
from etcdpy.store.replay import MakeEntry, Replay, replay
from etcdpy.store.segments import Segment
from etcdpy.store.snapshot_file import Damage, MetaTuple
from etcdpy.store.snapshots import Found, Skipped, Snapshots

E = TypeVar("E", bound=EntryTuple)

EMPTY_META: MetaTuple = (0, 0, ((), ()))  # the state before the first entry; has no file


@dataclass(frozen=True, slots=True)
class Choice(Generic[E]):
    """What to go on from."""

    meta: MetaTuple
    found: Found | None  # None: from the empty snapshot
    log: Replay[E]
    skipped: list[Skipped]


def choose(
    files: Files,
    snapshots: Snapshots,
    candidates: list[Found],
    segments: list[Segment],
    make_entry: MakeEntry[E],
) -> Choice[E]:
    """Return the newest of `candidates` (newest first) that is whole and joins the log.

    Raises: FatalError naming files if none does, or if one shows that a part of the log is lost.
    """
    skipped: list[Skipped] = []
    for found in candidates:
        try:
            meta = _check(snapshots, found)
        except Damage as damage:
            skipped.append(Skipped(found, str(damage)))
            continue
        log = replay(files, segments, found.index, make_entry)
        if log.joins(found.index, found.term):
            return Choice(meta, found, log, skipped)
        skipped.append(Skipped(found, _problem(found, log, segments)))
    log = replay(files, segments, 0, make_entry)
    if log.joins(0, 0):
        return Choice(EMPTY_META, None, log, skipped)
    reasons = "; ".join(f"{found.path}: {problem}" for found, problem in skipped)
    raise FatalError(
        f"{segments[0].path}: the log begins after entry {log.base_index}, "
        f"and no snapshot joins it: {reasons or 'there is none'}"
    )


def _check(snapshots: Snapshots, found: Found) -> MetaTuple:
    """Return the snapshot's meta once all of it has been read.  Raises: Damage, FatalError."""
    with snapshots.open(found.path) as reader:
        if reader.meta[:2] != (found.index, found.term):
            raise Damage("its name is not the one that its head asks for")
        reader.verify()
        return reader.meta


def _problem(found: Found, log: Replay[E], segments: list[Segment]) -> str:
    """Return why a whole snapshot that does not join the log can be done without.

    Raises: FatalError if it cannot: this member's own snapshots are points of its log.
    """
    if found.is_received:
        return "it had not yet replaced the log when the process ended"
    if found.index < log.base_index:
        return f"the log begins later, after entry {log.base_index}"
    if found.index > log.end.index:
        raise FatalError(
            f"{segments[-1].path}: the log ends at entry {log.end.index}, before snapshot "
            f"{found.path}: segments are missing"
        )
    raise FatalError(f"snapshot {found.path}: the log has an entry of another term at its index")
