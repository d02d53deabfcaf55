"""Servers that let in nobody without certificate and password: TLS with verified clients, auth.

The harness asks with root's certificate, which is fast on etcd too.  Clients get one that stands
for nobody, and root's password; guests may do nothing at all, so that a client that loses the
password on its way is refused.
"""

import json
from pathlib import Path
from typing import Any, Self

from tests.harness.certificates import client_context
from tests.harness.process import READY_DEADLINE_S, Kind, wait_until
from tests.harness.secure import Files, SecureCluster, SecureMember

NAME, PASSWORD = "root", "pw"
LOGIN = f"{NAME}:{PASSWORD}"
_SET_UP = (
    ("/v2/auth/users/root", {"user": NAME, "password": PASSWORD}),
    ("/v2/auth/roles/guest", {"role": "guest", "permissions": {"kv": {"read": [], "write": []}}}),
    ("/v2/auth/enable", None),
)


class GuardedMember(SecureMember):
    """A member that is guarded from when it has started; clients need all that `files` have."""

    def __init__(
        self, kind: Kind, directory: Path, *options: str, files: Files, **others: Any
    ) -> None:
        own = client_context(files.authority, files.authority.issue("root", NAME))
        super().__init__(kind, directory, *files.flags(), *options, tls=own, **others)
        self.clients_tls = files.context()
        cert, key, authority = (
            str(path) for path in (files.client.cert, files.client.key, files.authority.path)
        )
        flags = ("--ca-file", authority, "--cert-file", cert, "--key-file", key)
        self.ctl_flags = (*flags, "-u", LOGIN)
        self.python_options = {
            "protocol": "https",
            "ca_cert": authority,
            "cert": (cert, key),
            "username": NAME,
            "password": PASSWORD,
        }

    def start(self, deadline_s: float = READY_DEADLINE_S) -> Self:
        """Start, and turn auth on unless it is on already."""
        super().start(deadline_s)
        guard(self)
        return self


def guard(member: SecureMember) -> None:
    """Make the user root, leave guests nothing, and turn auth on, once."""
    with member.connect() as connection:
        if connection.request("GET", "/v2/auth/enable").json()["enabled"]:
            return
        for path, body in _SET_UP:
            answer = connection.request("PUT", path, json.dumps(body))
            assert answer.status in (200, 201), answer


class GuardedCluster(SecureCluster):
    """Members that found a cluster, guarded on both sides."""

    def __init__(self, kind: Kind, directory: Path, size: int, *options: str, files: Files):
        flags = (*files.flags("peer-"), *options)
        self.guarded = [
            GuardedMember(
                kind, directory / f"m{n}", *flags, files=files, name=f"m{n}", has_peer_tls=True
            )
            for n in range(size)
        ]
        self.members = list(self.guarded)
        self.introduce()

    def start(self) -> Self:
        """Start all, turn auth on, and wait until all know of it."""
        super().start()
        guard(self.members[0])
        wait_until(self._is_guarded, READY_DEADLINE_S, "auth is on everywhere")
        return self

    def _is_guarded(self) -> bool:
        return all(m.request("GET", "/v2/auth/enable").json()["enabled"] for m in self.members)

    def follower(self) -> GuardedMember:
        """Return a member that does not lead."""
        stats = {m: m.request("GET", "/v2/stats/self").json()["state"] for m in self.guarded}
        return next(m for m, state in stats.items() if state == "StateFollower")
