"""One etcdpy and one etcd, both fresh, asked the same thing; what varies between any two servers
is replaced by its name.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.record import start_fresh
from tests.harness.process import Kind, Member
from tests.http.rawsocket import exchange

# In this order: what a later pattern would match must be gone by then.
_VARYING = (
    (re.compile(r"Date: [^\r]*GMT"), "Date: <date>"),
    (re.compile(r"X-Raft-(Index|Term): \d+"), r"X-Raft-\1: <number>"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "<url>"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<time>"),
    (re.compile(r'"uptime":"[\dhmµns.]+"'), '"uptime":"<duration>"'),
    (re.compile(r'"id":\d{10,20}'), '"id":<number>'),
    (re.compile(r"\b[0-9a-f]{12,16}\b"), "<id>"),
)


def normal(data: bytes) -> str:
    """Return a response with placeholders and its header lines sorted: their order is free.

    A length that is the body's is one of them: an id with a zero in front is shorter than others.
    """
    head, _, body = data.decode("latin-1").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    own_length = f"Content-Length: {len(body)}"
    lines = ["Content-Length: <the body's>" if line == own_length else line for line in lines]
    text = "\r\n".join([first, *sorted(lines)]) + "\r\n\r\n" + body
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    return text


@dataclass(frozen=True, slots=True)
class Pair:
    """Both servers."""

    etcdpy: Member
    etcd: Member

    def shown(self, member: Member, path: str, reply: bytes) -> str:
        """Return a response of `member` to a request for `path` as it can be compared."""
        return normal(reply)

    def ask(
        self,
        data: bytes,
        *,
        half_close: bool = False,
        is_peer: bool = False,
    ) -> tuple[str, str]:
        """Return what etcdpy and etcd answer to the same bytes."""
        ours, theirs = (
            normal(
                exchange(
                    member.peer_port if is_peer else member.client_port,
                    data,
                    half_close=half_close,
                ).data
            )
            for member in (self.etcdpy, self.etcd)
        )
        return ours, theirs


@contextmanager
def running_pair(directory: Path) -> Iterator[Pair]:
    """Run a fresh member of each kind."""
    with (
        Member(Kind.ETCDPY, directory / "etcdpy", name="default") as ours,
        Member(Kind.ETCD, directory / "etcd", name="default") as theirs,
    ):
        yield Pair(start_fresh(ours), start_fresh(theirs))
