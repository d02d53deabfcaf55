"""Quota: from how many keys or bytes on clients can only read and delete.

Decided by the member that is asked, when it is asked, by its own tree; not when an entry is
applied.  A quota is a flag of each member: were it part of applying, members with different flags
would hold different trees.  So it is soft: what is on its way to the log at that moment is still
applied, at most as many writes as may wait at once.  That is etcd's way as well, whose quota of the
v3 store is looked at before a proposal.

What keeps the store no larger is taken: deletions, a refresh of a TTL, expiry, and what the
cluster writes for itself, members, users and roles.  It ends when enough is gone, not at the next
deletion, so that neither clients nor the log see it come and go with each write.
"""

import logging

from etcdpy.errors import QUOTA_EXCEEDED, EtcdError
from etcdpy.http.limits import Limit, Reached
from etcdpy.logs import NOTICE
from etcdpy.tree.command import Command, CommandKind
from etcdpy.tree.paths import KEYS_PART, below
from etcdpy.tree.tree import Tree

log = logging.getLogger("etcdpy.etcdserver")

#: The alarm's name, as etcd's `/health` and its `exclude` know it.
ALARM = "NOSPACE"
#: Use has to fall to so much of the quota for writes to be taken again.
LEFT_AT = 0.95

_GROWING = frozenset(
    (CommandKind.SET, CommandKind.CREATE, CommandKind.UPDATE, CommandKind.COMPARE_AND_SWAP)
)
_PREFIX = below(KEYS_PART)


class Quota:
    """Whether clients may add to a tree; `keys_max` and `bytes_max` bound nothing if 0."""

    def __init__(self, tree: Tree, keys_max: int, bytes_max: int) -> None:
        self._tree = tree
        self._keys_max = keys_max
        self._bytes_max = bytes_max
        self._is_bounded = bool(keys_max or bytes_max)
        self.exceeded: tuple[Limit, ...] = ()  # which ones, when looked at last
        self.refused = Reached()

    def admit(self, command: Command) -> None:
        """Let a command pass, unless it adds to what is too much.  Raises: EtcdError 120."""
        if not self._is_bounded or command.kind not in _GROWING or command.is_refresh:
            return
        if not (command.path == KEYS_PART or command.path.startswith(_PREFIX)):
            return
        self.look()
        if self.exceeded:
            self.refused.update(self.exceeded)
            raise EtcdError(QUOTA_EXCEEDED, self._show().encode(), self._tree.index)

    def look(self) -> None:
        """See how much is in the tree; that writes end or begin again is said once."""
        if not self._is_bounded:
            return
        usage = self._tree.usage
        former = self.exceeded
        self.exceeded = tuple(
            limit
            for limit, used, used_max in (
                (Limit.QUOTA_KEYS, usage.keys, self._keys_max),
                (Limit.QUOTA_BYTES, usage.size_bytes, self._bytes_max),
            )
            if used_max and _is_too_much(used, used_max, is_over=limit in former)
        )
        if bool(former) == bool(self.exceeded):
            return
        if self.exceeded:
            log.warning("quota exceeded, clients can only read and delete: %s", self._show())
        else:
            log.log(NOTICE, "quota is kept again, clients can write: %s", self._show())

    def _show(self) -> str:
        """Return what is used of what may be."""
        usage = self._tree.usage
        parts = []
        if self._keys_max:
            parts.append(f"{usage.keys} keys of {self._keys_max}")
        if self._bytes_max:
            parts.append(f"{usage.size_bytes} bytes of {self._bytes_max}")
        return ", ".join(parts)


def _is_too_much(used: int, used_max: int, *, is_over: bool) -> bool:
    """Tell whether it is too much; what was `is_over` is so until it is a little below."""
    return used > used_max * LEFT_AT if is_over else used >= used_max
