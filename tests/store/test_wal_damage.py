"""Damage to the log: a torn end is cut and said, everything else stops the start by name.

Exhaustive over a small log: each prefix of its last frame, each lost page, each byte flipped.
"""

import re

import pytest

from etcdpy.consensus.messages import HardState
from etcdpy.errors import FatalError
from etcdpy.store.notes import TailCut
from etcdpy.store.record import FRAME_HEAD_BYTES, decode_segment_head
from etcdpy.store.segments import frames
from etcdpy.store.storage import Limits
from tests.store.helpers import (
    DATA,
    SMALL,
    Member,
    State,
    entry,
    open_store,
    simulated,
    state_of,
)
from tests.store.simulated_files import SimulatedFiles

WAL = f"{DATA}/wal"
PAGE_BYTES = 64
#: Where frames end is where the file does.
KEEP_ALL = Limits(segment_bytes=400, ahead_bytes=0, wals_max=0, snapshots_max=0)
#: Frames are written over zeros.
AHEAD = Limits(segment_bytes=400, ahead_bytes=200, wals_max=0, snapshots_max=0)


def small_log(frame_count: int = 9, limits: Limits = KEEP_ALL) -> tuple[Member, list[State]]:
    """Return a stopped member, and its state after each frame."""
    member = Member(simulated(1, PAGE_BYTES), limits)
    member.start()
    states = [member.state]
    for count in range(frame_count):
        member.extend(1 + count % 2, size=50)
        states.append(member.state)
    member.stop()
    return member, states


def segment_paths(files: SimulatedFiles) -> list[str]:
    return [f"{WAL}/{name}" for name in files.names(WAL)]


def frame_offsets(data: bytes) -> list[int]:
    """Return where each frame of a segment begins."""
    head, link = decode_segment_head(data, "")
    return [frame.offset for frame in frames(data, head.salt, link.end)]


def recovered_state(files: SimulatedFiles) -> tuple[State, list[TailCut]]:
    data_dir, recovered = open_store(files, KEEP_ALL)
    state = state_of(recovered)
    recovered.storage.close()
    data_dir.close()
    return state, [note for note in recovered.notes if isinstance(note, TailCut)]


def test_the_log_has_segments_and_frames_enough_to_mean_something() -> None:
    member, _ = small_log()
    counts = [len(frame_offsets(member.files.peek(path))) for path in segment_paths(member.files)]
    assert len(counts) >= 3
    assert min(counts) >= 2


def test_every_prefix_of_the_last_frame_is_cut_and_said() -> None:
    member, states = small_log()
    path = segment_paths(member.files)[-1]
    data = member.files.peek(path)
    last = frame_offsets(data)[-1]
    for end in range(last, len(data)):
        files = member.files.crash()
        files.poke(path, data[:end])
        state, cuts = recovered_state(files)
        assert state == states[-2]
        dropped = len(data[:end].rstrip(b"\0")) - last
        assert cuts == ([TailCut(path, last, dropped)] if dropped > 0 else [])
        for cut in cuts:
            assert str(cut).endswith(f"{path}: {dropped} bytes from offset {last}")
        assert files.peek(path).rstrip(b"\0") == data[:last].rstrip(b"\0")
        assert recovered_state(files) == (state, []), "a cut is made once"


def test_every_prefix_with_a_lost_page_before_its_end_is_cut() -> None:
    member, states = small_log()
    path = segment_paths(member.files)[-1]
    data = member.files.peek(path)
    last = frame_offsets(data)[-1]
    tried = 0
    for end in range(last + 1, len(data) + 1):
        for page in range(last // PAGE_BYTES, (end - 1) // PAGE_BYTES + 1):
            low, high = max(last, page * PAGE_BYTES), min(end, (page + 1) * PAGE_BYTES)
            torn = data[:low] + bytes(high - low) + data[high:end]
            files = member.files.crash()
            files.poke(path, torn)
            state, cuts = recovered_state(files)
            assert state == states[-2]
            dropped = len(torn.rstrip(b"\0")) - last
            assert cuts == ([TailCut(path, last, dropped)] if dropped > 0 else [])
            tried += 1
    assert tried > 100


def test_zeros_after_the_last_frame_are_for_the_next() -> None:
    member, states = small_log()
    path = segment_paths(member.files)[-1]
    data = member.files.peek(path)
    member.files.poke(path, data + bytes(1000))
    assert recovered_state(member.files) == (states[-1], [])
    assert member.files.peek(path) == data + bytes(1000)


def log_over_zeros() -> tuple[Member, list[State], str, int, int]:
    """Return a log whose last frame has zeros behind it, its path, and where that frame is."""
    member, states = small_log(9, AHEAD)
    path = segment_paths(member.files)[-1]
    data = member.files.peek(path)
    last, end = frame_offsets(data)[-1], len(data.rstrip(b"\0"))
    assert len(data) > end + 50
    return member, states, path, last, end


def test_every_tear_of_a_frame_over_zeros_is_cut_and_the_log_goes_on() -> None:
    member, states, path, last, end = log_over_zeros()
    data = member.files.peek(path)
    pages = range(last // PAGE_BYTES, end // PAGE_BYTES + 1)
    kept = [set(pages) - {lost} for lost in pages] + [{page} for page in pages] + [set()]
    for survivors in kept:
        torn = bytearray(data[:last] + bytes(len(data) - last))
        for page in survivors:
            low, high = max(last, page * PAGE_BYTES), (page + 1) * PAGE_BYTES
            torn[low:high] = data[low:high]
        files = member.files.crash()
        files.poke(path, bytes(torn))
        after = Member(files, AHEAD)
        after.state = after.next_state = states[-2]
        after.start()
        assert not any(files.peek(path)[last:])
        after.extend(2, size=30)
        whole = after.state
        after.stop()
        assert recovered_state(files) == (whole, [])


def test_a_byte_in_the_zeros_is_cut_and_said() -> None:
    member, states, path, _, end = log_over_zeros()
    data = member.files.peek(path)
    for position in range(end, len(data)):
        files = member.files.crash()
        files.poke(path, data[:position] + b"x" + data[position + 1 :])
        cut = TailCut(path, end, position + 1 - end)
        assert recovered_state(files) == (states[-1], [cut])
        assert len(files.peek(path)) == end


def test_a_flipped_byte_before_the_last_frame_over_zeros_stops_the_start() -> None:
    member, states, path, last, end = log_over_zeros()
    data = member.files.peek(path)
    for position in range(end):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        files = member.files.crash()
        files.poke(path, bytes(damaged))
        if position < last:
            with pytest.raises(FatalError):
                recovered_state(files)
        else:
            assert recovered_state(files)[0] == states[-2]


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_flipped_byte_before_the_last_frame_stops_the_start(mask: int) -> None:
    member, states = small_log()
    paths = segment_paths(member.files)
    for path in paths:
        data = member.files.peek(path)
        offsets = frame_offsets(data)
        last = offsets[-1] if path == paths[-1] else len(data)
        for position in range(len(data)):
            damaged = bytearray(data)
            damaged[position] ^= mask
            files = member.files.crash()
            files.poke(path, bytes(damaged))
            if position >= last:
                dropped = len(damaged.rstrip(b"\0")) - last
                assert recovered_state(files) == (states[-2], [TailCut(path, last, dropped)])
                continue
            with pytest.raises(FatalError) as caught:
                recovered_state(files)
            at = max((offset for offset in offsets if offset <= position), default=0)
            assert path in str(caught.value)
            assert re.search(rf"at offset {at}\b|at offset 8\b", str(caught.value))
            assert "\n" not in str(caught.value)
            assert files.peek(path) == bytes(damaged), "nothing was changed"


def test_rot_before_a_torn_last_frame_stops_the_start() -> None:
    """The torn frame's head proves that the one before it had been durable."""
    member, _ = small_log()
    path = segment_paths(member.files)[-1]
    data = bytearray(member.files.peek(path))
    before, last = frame_offsets(bytes(data))[-2:]
    data[before + FRAME_HEAD_BYTES + 3] ^= 1
    member.files.poke(path, bytes(data[: last + FRAME_HEAD_BYTES + 5]))
    with pytest.raises(FatalError, match=f"{path}: damaged frame at offset {before}: .* {last} "):
        recovered_state(member.files)


def test_bytes_of_a_users_value_do_not_pass_for_a_frame() -> None:
    """A value that holds whole frames of this very segment, as a client could who reads backups
    of another member, is data: neither its frames nor its heads are where they say.
    """
    member, _ = small_log(1)
    member.start()
    path = segment_paths(member.files)[-1]
    copy = member.files.peek(path)
    index = member.storage.last_index() + 1
    member.append([entry(index, 1)._replace(data=copy)], HardState(1, 1, 0))
    whole = member.state
    data = member.files.peek(path)
    member.stop()
    assert recovered_state(member.files) == (whole, [])
    for end in range(len(data) - len(copy), len(data), 7):
        files = member.files.crash()
        files.poke(path, data[:end])
        state, cuts = recovered_state(files)
        assert len(state.entries) == index - 1
        assert len(cuts) == 1


@pytest.mark.parametrize("which", [1, -2])
def test_a_missing_segment_is_named(which: int) -> None:
    member, _ = small_log()
    path = segment_paths(member.files)[which]
    member.files.remove(path)
    sequence = path.removeprefix(f"{WAL}/").partition("-")[0]
    with pytest.raises(FatalError, match=f"segment {sequence} is missing between"):
        recovered_state(member.files)


def test_a_missing_first_segment_is_named() -> None:
    member, _ = small_log()
    member.files.remove(segment_paths(member.files)[0])
    with pytest.raises(FatalError, match=r"begins after entry .*, and no snapshot joins it: there"):
        recovered_state(member.files)


def test_a_segment_that_lost_whole_frames_is_named() -> None:
    member, _ = small_log()
    path = segment_paths(member.files)[1]
    data = member.files.peek(path)
    last = frame_offsets(data)[-1]
    member.files.poke(path, data[:last])
    with pytest.raises(FatalError, match=f"{path}: ends at offset {last}, not as "):
        recovered_state(member.files)


def test_bytes_after_the_end_of_a_segment_that_is_not_the_last_stop_the_start() -> None:
    member, _ = small_log()
    path, following = segment_paths(member.files)[1:3]
    data = member.files.peek(path)
    member.files.poke(path, data + b"x")
    with pytest.raises(FatalError, match=f"{path}: .* offset {len(data)}: .*{following} follows"):
        recovered_state(member.files)


def test_a_segment_of_another_store_is_refused() -> None:
    member, _ = small_log()
    other = Member(simulated(2), KEEP_ALL)
    other.start()
    other.stop()
    path = segment_paths(member.files)[0]
    member.files.poke(path, other.files.peek(segment_paths(other.files)[0]))
    with pytest.raises(FatalError, match=f"{path}: belongs to another data directory"):
        recovered_state(member.files)


def test_a_renamed_segment_is_refused() -> None:
    member, _ = small_log()
    first, second = segment_paths(member.files)[:2]
    member.files.poke(first, member.files.peek(second))
    with pytest.raises(FatalError, match=f"{first}: its head at offset 0 says it is segment 2"):
        recovered_state(member.files)


def test_a_strange_file_is_noted_and_left_alone() -> None:
    member, states = small_log()
    member.files.close(member.files.create(f"{WAL}/lost+found"))
    data_dir, recovered = open_store(member.files, SMALL)
    assert [str(note) for note in recovered.notes] == [
        f"found {WAL}/lost+found, which is not ours: ignored"
    ]
    assert state_of(recovered) == states[-1]
    assert "lost+found" in member.files.names(WAL)
    data_dir.close()


def test_a_torn_frame_leaves_nothing_for_later_frames_to_trip_over() -> None:
    member, _ = small_log(2)
    path = segment_paths(member.files)[-1]
    data = member.files.peek(path)
    member.files.poke(path, data + b"x" * 300)
    member.start()
    member.extend(1, size=10)
    assert len(member.files.peek(path)) < len(data) + 300
    for _ in range(6):
        member.extend(1, size=100)
    member.stop()
    assert len(segment_paths(member.files)) > 1
    assert recovered_state(member.files) == (member.state, [])
