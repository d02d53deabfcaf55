"""`ETCDCTL_API=2 etcdctl`, unchanged, against etcdpy and the real etcd.

What is asserted here was printed by etcdctl 3.4.23 in front of etcd 3.4.23; the last test has both
servers answer one long session and compares all that was printed.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness.process import Kind, Launcher, Member, tied, wait_until

ETCDCTL = shutil.which("etcdctl")

pytest_plugins = ("tests.harness.plugin",)
pytestmark = pytest.mark.skipif(ETCDCTL is None, reason="etcdctl is not on PATH")

DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of etcdctl left behind."""

    code: int
    out: str
    err: str


class Ctl:
    """etcdctl in front of one member; it asks no other if `options` say `--no-sync`."""

    def __init__(self, member: Member, *options: str) -> None:
        self.member = member
        self.options = (*member.ctl_flags, *options)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ETCD")}
        self.environment = {**kept, "ETCDCTL_API": "2"}

    def words(self, *arguments: str) -> list[str]:
        assert ETCDCTL is not None
        return [ETCDCTL, *self.options, "--endpoints", self.member.client_url, *arguments]

    def run(self, *arguments: str, stdin: str = "") -> Outcome:
        done = subprocess.run(
            self.words(*arguments),
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def __call__(self, *arguments: str) -> str:
        """Run, expect success, and return what was printed."""
        outcome = self.run(*arguments)
        assert (outcome.code, outcome.err) == (0, ""), outcome
        return outcome.out

    def json(self, *arguments: str) -> Any:
        return json.loads(self("-o", "json", *arguments))

    @contextlib.contextmanager
    def following(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """Run in the background, from when the watch is registered."""
        before = self.watchers()
        process = subprocess.Popen(
            tied(self.words(*arguments)),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                wait_until(lambda: self.watchers() > before, DEADLINE_S, "the watch")
                yield process
            finally:
                process.kill()

    def watchers(self) -> int:
        return int(self.member.request("GET", "/v2/stats/store").json()["watchers"])


@pytest.fixture
def ctl(member: Member) -> Ctl:
    return Ctl(member)


def finish(process: "subprocess.Popen[str]") -> Outcome:
    out, err = process.communicate(timeout=DEADLINE_S)
    return Outcome(process.returncode, out, err)


class TestKeys:
    def test_set_prints_the_value(self, ctl: Ctl, prefix: str) -> None:
        assert ctl("set", prefix, "one") == "one\n"
        assert ctl("get", prefix) == "one\n"

    def test_set_reads_the_value_from_stdin(self, ctl: Ctl, prefix: str) -> None:
        assert ctl.run("set", prefix, stdin="two\nlines\n").code == 0
        assert ctl("get", prefix) == "two\nlines\n\n"

    def test_a_key_without_a_slash_gets_one(self, ctl: Ctl, prefix: str) -> None:
        ctl("set", prefix[1:] + "//a", "1")
        assert ctl.json("get", prefix + "/a")["node"]["key"] == prefix + "/a"

    def test_a_missing_key_is_exit_4(self, ctl: Ctl, prefix: str) -> None:
        outcome = ctl.run("get", prefix + "/none")
        assert (outcome.code, outcome.out) == (4, "")
        assert re.fullmatch(rf"Error:  100: Key not found \({prefix}\) \[\d+\]\n", outcome.err), (
            outcome
        )

    def test_get_refuses_a_directory(self, ctl: Ctl, prefix: str) -> None:
        ctl("mkdir", prefix)
        assert ctl.run("get", prefix) == Outcome(1, "", f"{prefix}: is a directory\n")

    def test_get_with_quorum(self, ctl: Ctl, prefix: str) -> None:
        ctl("set", prefix, "1")
        assert ctl("get", "--quorum", prefix) == "1\n"

    def test_mk_creates_only(self, ctl: Ctl, prefix: str) -> None:
        assert ctl("mk", prefix, "1") == "1\n"
        outcome = ctl.run("mk", prefix, "2")
        assert outcome.code == 4
        assert f"105: Key already exists ({prefix})" in outcome.err

    def test_mk_in_order(self, ctl: Ctl, prefix: str) -> None:
        first = ctl.json("mk", "--in-order", prefix, "a")["node"]
        second = ctl.json("mk", "--in-order", prefix, "b")["node"]
        assert first["key"] == f"{prefix}/{first['createdIndex']:020}"
        assert second["key"] > first["key"]
        assert ctl("ls", "--sort", prefix) == f"{first['key']}\n{second['key']}\n"

    def test_update_needs_the_key(self, ctl: Ctl, prefix: str) -> None:
        assert "100: Key not found" in ctl.run("update", prefix, "1").err
        ctl("set", prefix, "1")
        assert ctl("update", prefix, "2") == "2\n"
        assert ctl("get", prefix) == "2\n"

    def test_rm_prints_what_was_there(self, ctl: Ctl, prefix: str) -> None:
        ctl("set", prefix, "12")
        assert ctl("rm", prefix) == "PrevNode.Value: 12\n"
        assert ctl.run("rm", prefix).code == 4

    def test_swap_with_value(self, ctl: Ctl, prefix: str) -> None:
        ctl("set", prefix, "1")
        assert ctl("set", "--swap-with-value", "1", prefix, "2") == "2\n"
        outcome = ctl.run("set", "--swap-with-value", "1", prefix, "3")
        assert outcome.code == 4
        assert "101: Compare failed ([1 != 2])" in outcome.err

    def test_swap_with_index(self, ctl: Ctl, prefix: str) -> None:
        index = ctl.json("set", prefix, "1")["node"]["modifiedIndex"]
        assert ctl("set", "--swap-with-index", str(index), prefix, "2") == "2\n"
        outcome = ctl.run("set", "--swap-with-index", str(index), prefix, "3")
        assert f"101: Compare failed ([{index} != {index + 1}])" in outcome.err

    def test_rm_with_value_and_index(self, ctl: Ctl, prefix: str) -> None:
        index = ctl.json("set", prefix, "1")["node"]["modifiedIndex"]
        assert "[2 != 1]" in ctl.run("rm", "--with-value", "2", prefix).err
        assert f"[{index + 1} != {index}]" in (
            ctl.run("rm", "--with-index", str(index + 1), prefix).err
        )
        assert ctl("rm", "--with-value", "1", prefix) == "\n"

    def test_ttl_is_shown_and_runs_out(self, ctl: Ctl, prefix: str) -> None:
        assert ctl.json("set", "--ttl", "100", prefix + "/a", "1")["node"]["ttl"] == 100
        assert "TTL: 100\n" in ctl("-o", "extended", "set", "--ttl", "100", prefix + "/b", "1")
        ctl("set", prefix + "/c", "1", "--ttl", "1")
        wait_until(lambda: ctl.run("get", prefix + "/c").code == 4, DEADLINE_S, "the expiry")


class TestDirectories:
    def test_mkdir_creates_only(self, ctl: Ctl, prefix: str) -> None:
        assert ctl("mkdir", prefix) == ""
        assert f"105: Key already exists ({prefix})" in ctl.run("mkdir", prefix).err

    def test_setdir_refuses_a_directory(self, ctl: Ctl, prefix: str) -> None:
        assert ctl("setdir", prefix) == ""
        assert f"102: Not a file ({prefix})" in ctl.run("setdir", prefix).err

    def test_setdir_replaces_a_file(self, ctl: Ctl, prefix: str) -> None:
        ctl("set", prefix, "1")
        ctl("setdir", prefix)
        assert ctl.run("get", prefix).code == 1

    def test_updatedir_changes_the_ttl(self, ctl: Ctl, prefix: str) -> None:
        ctl("mkdir", prefix)
        assert ctl("updatedir", "--ttl", "100", prefix) == ""
        assert 90 < ctl.json("ls", prefix)["node"]["ttl"] <= 100

    def test_rmdir_wants_it_empty(self, ctl: Ctl, prefix: str) -> None:
        ctl("set", prefix + "/a", "1")
        outcome = ctl.run("rmdir", prefix)
        assert outcome.code == 4
        assert f"108: Directory not empty ({prefix})" in outcome.err
        ctl("rm", prefix + "/a")
        assert ctl("rmdir", prefix) == ""

    def test_rm_of_a_directory(self, ctl: Ctl, prefix: str) -> None:
        ctl("set", prefix + "/a/b", "1")
        assert f"102: Not a file ({prefix})" in ctl.run("rm", prefix).err
        assert f"108: Directory not empty ({prefix})" in ctl.run("rm", "--dir", prefix).err
        assert ctl("rm", "--recursive", prefix) == ""

    def test_ls(self, ctl: Ctl, prefix: str) -> None:
        for name in ("b", "a/x", "_hidden"):
            ctl("set", f"{prefix}/{name}", "1")
        assert ctl("ls", "--sort", prefix) == f"{prefix}/a\n{prefix}/b\n"
        assert ctl("ls", "--sort", "-p", "-r", prefix) == (
            f"{prefix}/a/\n{prefix}/a/x\n{prefix}/b\n"
        )
        assert ctl("ls", f"{prefix}/b") == f"{prefix}/b\n"
        assert prefix in ctl("ls").splitlines()


class TestOutput:
    def test_json(self, ctl: Ctl, prefix: str) -> None:
        first = ctl.json("set", prefix, "1")
        index = first["node"]["modifiedIndex"]
        assert ctl.json("set", prefix, "2") == {
            "action": "set",
            "node": {
                "key": prefix,
                "value": "2",
                "nodes": None,
                "createdIndex": index + 1,
                "modifiedIndex": index + 1,
            },
            "prevNode": first["node"],
        }

    def test_extended(self, ctl: Ctl, prefix: str) -> None:
        index = ctl.json("set", prefix, "1")["node"]["modifiedIndex"] + 1
        assert ctl("-o", "extended", "set", prefix, "2") == (
            f"Key: {prefix}\nCreated-Index: {index}\nModified-Index: {index}\n"
            f"PrevNode.Value: 1\nTTL: 0\nIndex: {index}\n\n2\n"
        )


class TestWatch:
    def test_watch_prints_the_next_value(self, ctl: Ctl, prefix: str) -> None:
        with ctl.following("watch", prefix) as watching:
            ctl("set", prefix, "1")
            assert finish(watching) == Outcome(0, "1\n", "")

    def test_watch_after_an_index(self, ctl: Ctl, prefix: str) -> None:
        index = ctl.json("set", prefix, "1")["node"]["modifiedIndex"]
        ctl("set", prefix, "2")
        assert ctl("watch", "--after-index", str(index), prefix) == "2\n"

    def test_watch_recursive_names_the_key(self, ctl: Ctl, prefix: str) -> None:
        with ctl.following("watch", "--recursive", prefix) as watching:
            ctl("set", f"{prefix}/a/b", "1")
            assert finish(watching) == Outcome(0, f"[set] {prefix}/a/b\n1\n", "")

    def test_watch_forever_goes_on_until_interrupted(self, ctl: Ctl, prefix: str) -> None:
        with ctl.following("watch", "--forever", prefix) as watching:
            for value in ("1", "2", "3"):
                ctl("set", prefix, value)
            assert watching.stdout is not None
            assert [watching.stdout.readline() for _ in range(3)] == ["1\n", "2\n", "3\n"]
            watching.send_signal(signal.SIGINT)
            assert finish(watching) == Outcome(0, "", "")

    def test_watch_sees_removal_and_expiry(self, ctl: Ctl, prefix: str) -> None:
        index = ctl.json("set", prefix, "1")["node"]["modifiedIndex"]
        ctl("rm", prefix)
        ctl("set", "--ttl", "1", prefix, "2")
        assert ctl.json("watch", "--after-index", str(index), prefix)["action"] == "delete"
        expired = ctl.json("watch", "--after-index", str(index + 2), prefix)
        assert (expired["action"], expired["prevNode"]["value"]) == ("expire", "2")

    def test_exec_watch_hands_over_the_event(self, ctl: Ctl, prefix: str, tmp_path: Path) -> None:
        seen = tmp_path / "seen"
        script = tmp_path / "script"
        script.write_text(
            "#!/bin/sh\n"
            f'echo "$ETCD_WATCH_ACTION $ETCD_WATCH_KEY $ETCD_WATCH_VALUE '
            f'$ETCD_WATCH_MODIFIED_INDEX" >> {seen}\n'
        )
        script.chmod(0o700)
        with ctl.following("exec-watch", "--recursive", prefix, "--", str(script)):
            index = ctl.json("set", f"{prefix}/a", "1")["node"]["modifiedIndex"]
            ctl("rm", f"{prefix}/a")
            wait_until(
                lambda: seen.exists() and seen.read_text().count("\n") == 2,
                DEADLINE_S,
                "two runs of the command",
            )
        assert seen.read_text().splitlines() == [
            f"set {prefix}/a 1 {index}",
            f"delete {prefix}/a  {index + 1}",
        ]


class TestCluster:
    def test_member_list(self, ctl: Ctl) -> None:
        member = ctl.member
        (listed,) = member.request("GET", "/v2/members").json()["members"]
        assert ctl("member", "list") == (
            f"{listed['id']}: name={member.name} peerURLs={member.peer_url}"
            f" clientURLs={member.client_url} isLeader=true\n"
        )

    def test_cluster_health(self, ctl: Ctl) -> None:
        member = ctl.member
        (listed,) = member.request("GET", "/v2/members").json()["members"]
        assert ctl("cluster-health") == (
            f"member {listed['id']} is healthy: got healthy result from {member.client_url}\n"
            "cluster is healthy\n"
        )

    def test_a_member_that_is_gone(self, launch: Launcher) -> None:
        ctl = Ctl(launch().start())
        ctl("set", "/a", "1")
        ctl.member.stop()
        assert ctl.run("get", "/a").code == 2
        assert ctl.run("--no-sync", "get", "/a").code == 4
        assert ctl.run("cluster-health").code == 4
        ctl.member.start()
        assert ctl("get", "/a") == "1\n"


SESSION = """
set /a 1
get /a
-o extended get /a
-o json get /a
set /a 2
-o json set /a 3
-o extended set /a 4
get /none/below
set /a/b 1
mk /a 1
mk /m 1
update /none 1
update /m 2
-o json update /m 3
mkdir /d
mkdir /d
setdir /d
setdir /m
updatedir /d
updatedir --ttl 100 /d
updatedir /none
get /d
-o json get /d
update /d 1
set /d 1
set /d/x 1
set /d/y/z 2
set /d/_h 3
ls --sort
ls --sort /
ls --sort -r /
ls --sort -r -p /
ls /d/x
ls /none
-o json ls --sort /d
-o extended ls --sort /d
rmdir /d
rm /d
rm --dir /d
rmdir /d/y
rm /d/y/z
rmdir /d/y
-o json rm /d/x
-o extended rm --recursive /d
rm /none
rm --recursive /
set / 1
set --swap-with-value 4 /a 5
set --swap-with-value 4 /a 6
set --swap-with-index 1 /a 6
set --swap-with-value 4 --swap-with-index 1 /a 6
rm --with-value x /a
rm --with-index 1 /a
rm --with-value 5 /a
mk --in-order /q 1
mk --in-order /q 2
-o json mk --in-order /q 3
-o extended mk --in-order --ttl 100 /q 4
ls --sort /q
-o json set --ttl 100 /t 1
-o extended get /t
set /t 1 --ttl abc
set /neg -5
get --quorum /neg
get --sort /neg
watch --after-index 3 /a
-o json watch --after-index 3 /a
-o extended watch --after-index 3 /a
watch --recursive --after-index 3 /d
-o json watch --recursive --after-index 20 /
set
get
bogus
cluster-health
member list
member list extra
member add
member remove zz
-o foo get /neg
set /uni ✓é<>&"quoted"
get /uni
-o json get /uni
set /sp%20ace%2Fx 1
-o json get /sp%20ace%2Fx
-o json get /sp%25
"""

#: Their lines are in the order of ids.
BY_ID = ("member list", "member list extra", "cluster-health")


def transcript(ctl: Ctl, named: Callable[[str], str]) -> list[str]:
    """Return what etcdctl printed for each line of SESSION, with what must differ taken out.

    `named` puts names in place of URLs and ids.
    """
    lines = []
    for line in SESSION.strip().splitlines():
        outcome = ctl.run(*line.split(" "))
        text = named(f"{line} -> {outcome.code}\n{outcome.out}{outcome.err}")
        if line in BY_ID:
            text = "\n".join(sorted(text.splitlines()))
        text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
        lines.append(re.sub(r'("ttl":|TTL: )([89]\d|100)\b', r"\1ABOUT-100", text))
    return lines


def transcript_alone(member: Member) -> list[str]:
    """Return the transcript of a member that is alone."""
    (listed,) = member.request("GET", "/v2/members").json()["members"]

    def named(text: str) -> str:
        for found, shown in (
            (member.client_url, "CLIENT"),
            (member.peer_url, "PEER"),
            (str(listed["id"]), "ID"),
        ):
            text = text.replace(found, shown)
        return text

    return transcript(Ctl(member), named)


@pytest.mark.live
def test_a_session_prints_the_same_on_both(launch_etcdpy: Launcher) -> None:
    if not Kind.ETCD.is_present():
        pytest.skip("the real etcd is not on PATH")
    ours = launch_etcdpy().start()
    reference = launch_etcdpy(kind=Kind.ETCD).start()
    expected, got = transcript_alone(reference), transcript_alone(ours)
    for wanted, printed in zip(expected, got, strict=True):
        assert printed == wanted
