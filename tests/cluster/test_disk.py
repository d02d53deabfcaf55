"""A disk that is full, cut short or rotten, under a whole process.

The one line that ends the member names the file; with the disk repaired nothing that was
acknowledged is missing.  How each byte and each operation fails is tests/store; here it is that
the process as a whole says so, ends with 1 and comes back.
"""

import contextlib
import http.client
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.check import Tree, read_tree
from tests.harness.client import Connection, NotSentError
from tests.harness.process import Launcher, Limits, Member, ServerError

pytest_plugins = ("tests.harness.plugin",)

BIG_VALUE = "v" * 50_000
LIMIT_BYTES = 2_000_000


def fill(member: Member) -> dict[str, int]:
    """Write until the member ends; return the index that each acknowledged key was given."""
    acked: dict[str, int] = {}
    with (
        Connection(member.client_url) as connection,
        contextlib.suppress(NotSentError, OSError, http.client.HTTPException),
    ):
        for i in range(10 * LIMIT_BYTES // len(BIG_VALUE)):
            answer = connection.request("PUT", f"/v2/keys/k{i}", {"value": BIG_VALUE})
            if answer.status != 201:
                break
            acked[f"/k{i}"] = answer.index
    return acked


def critical_line(member: Member) -> str:
    """Return the one line that says why the member ended, checking that it is the only one."""
    assert member.wait_exit() == 1
    log = member.log_text()
    assert "Traceback" not in log
    lines = [line for line in log.splitlines() if " C | " in line]
    assert len(lines) == 1, log
    return lines[0]


def refusal(member: Member) -> str:
    """Start a member that must refuse to; return the line that says why."""
    with pytest.raises(ServerError):
        member.start()
    return critical_line(member)


def assert_all_there(member: Member, acked: dict[str, int]) -> None:
    """Every acknowledged key is there; one more may be, whose answer never came."""
    files = read_tree(member.client_url).files
    assert {key: files[key].modified for key in acked} == acked
    assert len(files) <= len(acked) + 1


def test_a_failing_write_ends_the_member_and_loses_nothing(launch_etcdpy: Launcher) -> None:
    member = launch_etcdpy(limits=Limits(file_size_bytes=LIMIT_BYTES)).start()
    acked = fill(member)
    assert acked
    assert str(member.data_dir) in critical_line(member)
    member.limits = Limits()
    assert_all_there(member.start(), acked)
    assert member.request("PUT", "/v2/keys/after", {"value": "1"}).status == 201


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB; only where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={LIMIT_BYTES}", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("this user may not mount a small file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_ends_the_member_and_loses_nothing(
    launch_etcdpy: Launcher, tiny_disk: Path
) -> None:
    member = launch_etcdpy(data_dir=tiny_disk / "data").start()
    acked = fill(member)
    assert acked
    line = critical_line(member)
    assert str(member.data_dir) in line
    assert "no space left on device" in line
    grow = ["mount", "-o", f"remount,size={4 * LIMIT_BYTES}", str(tiny_disk)]
    subprocess.run(grow, check=True)
    assert_all_there(member.start(), acked)


def test_a_disk_without_room_for_a_start_is_a_refusal(
    launch_etcdpy: Launcher, tiny_disk: Path
) -> None:
    (tiny_disk / "ballast").write_bytes(bytes(LIMIT_BYTES - 20 * 4096))
    with contextlib.suppress(OSError), (tiny_disk / "rest").open("wb", buffering=0) as rest:
        while True:
            rest.write(bytes(512))
    member = launch_etcdpy(data_dir=tiny_disk / "data")
    assert "no space left on device" in refusal(member)
    (tiny_disk / "ballast").unlink()
    member.start()


@pytest.fixture
def stopped(launch_etcdpy: Launcher) -> tuple[Member, Tree]:
    """A member that was killed after some writes, and what it held."""
    member = launch_etcdpy().start()
    for i in range(40):
        member.request("PUT", f"/v2/keys/k{i}", {"value": str(i) * 50})
    tree = read_tree(member.client_url)
    member.kill()
    return member, tree


def last_segment(member: Member) -> Path:
    return max(member.data_dir.rglob("*.segment"))


def written(path: Path) -> bytes:
    """Return a segment without the zeros that wait for the next frames."""
    return path.read_bytes().rstrip(b"\0")


def test_a_flipped_bit_stops_the_start_with_file_and_offset(stopped: tuple[Member, Tree]) -> None:
    member, tree = stopped
    path = last_segment(member)
    whole = path.read_bytes()
    size = len(written(path))
    for place in (0.0, 0.01, 0.4, 0.75):
        offset = int(size * place)
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 0x10]) + whole[offset + 1 :])
        line = refusal(member)
        assert str(path) in line, place
        assert "offset" in line, place
    path.write_bytes(whole)
    assert read_tree(member.start().client_url) == Tree(tree.index + 1, tree.files)


@pytest.mark.parametrize(
    ("cut_bytes", "has_zeros"),
    [(1, True), pytest.param(20, True, marks=pytest.mark.soak), (60, False)],
)
def test_a_torn_end_is_cut_and_said(
    stopped: tuple[Member, Tree], cut_bytes: int, has_zeros: bool
) -> None:
    member, tree = stopped
    path = last_segment(member)
    rest = written(path)[:-cut_bytes]
    path.write_bytes(rest.ljust(path.stat().st_size, b"\0") if has_zeros else rest)
    found = read_tree(member.start().client_url)
    assert str(path) in member.log_text()
    assert "torn" in member.log_text()
    assert {**tree.files, **found.files} == tree.files
    assert len(tree.files) - 1 <= len(found.files)
    member.request("PUT", "/v2/keys/after", {"value": "1"})
    member.kill()
    after = read_tree(member.start().client_url)
    assert set(after.files) == {*found.files, "/after"}


def test_garbage_after_the_end_is_cut_and_said(stopped: tuple[Member, Tree]) -> None:
    member, tree = stopped
    path = last_segment(member)
    path.write_bytes(path.read_bytes() + b"garbage" * 100)
    assert read_tree(member.start().client_url) == Tree(tree.index + 1, tree.files)
    assert str(path) in member.log_text()


def test_a_later_format_is_refused(stopped: tuple[Member, Tree]) -> None:
    member, _ = stopped
    path = last_segment(member)
    whole = path.read_bytes()
    path.write_bytes(whole[:8] + (99).to_bytes(4, "little") + whole[12:])
    line = refusal(member)
    assert str(path) in line
    assert "99" in line


def test_a_lost_log_is_refused_and_not_begun_anew(stopped: tuple[Member, Tree]) -> None:
    member, tree = stopped
    path = last_segment(member)
    whole = path.read_bytes()
    path.unlink()
    assert str(member.data_dir) in refusal(member)
    path.write_bytes(whole)
    assert read_tree(member.start().client_url) == Tree(tree.index + 1, tree.files)


def test_a_rotten_snapshot_is_said_and_nothing_is_lost(launch_etcdpy: Launcher) -> None:
    """Either the log reaches back far enough to do without it, or the start is refused."""
    member = launch_etcdpy("--snapshot-count", "10").start()
    for i in range(60):
        member.request("PUT", f"/v2/keys/k{i}", {"value": str(i) * 50})
    tree = read_tree(member.client_url)
    assert member.stop() < 0
    newest = max(member.data_dir.rglob("*.snapshot"))
    whole = bytearray(newest.read_bytes())
    whole[len(whole) // 2] ^= 1
    newest.write_bytes(whole)
    member.launch()
    try:
        member.wait_ready()
    except ServerError:
        assert str(newest) in critical_line(member)
    else:
        assert newest.name in member.log_text()
        assert read_tree(member.client_url) == Tree(tree.index + 1, tree.files)
