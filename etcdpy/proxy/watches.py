"""Watches of many clients that are one watch at a member: who shares which, and when one may join.

A file of its own because here the rule of `sharing` meets members and clients.  Watches are shared
only between requests of the same key, the same credentials, origin and host.  A watch from now on
waits for a look at a member that began after it came, whose index is where it begins: it is told
what that member would have told it.  One with a `waitIndex` that the history covers begins at once,
if a member has admitted these credentials within `ADMISSION_S`.
Source: spec/watch.md, spec/cluster.md section 9.
"""

from collections.abc import Callable
from typing import NamedTuple

from etcdpy.errors import EtcdError
from etcdpy.http import keys, target
from etcdpy.http.wire import Request
from etcdpy.metrics.exposition import Exposition
from etcdpy.proxy.asking import Question
from etcdpy.proxy.exchange import Exchange
from etcdpy.proxy.follower import Follower
from etcdpy.proxy.group import Group
from etcdpy.proxy.members import Members

#: More different watches than these are not shared, but carried one by one.
GROUPS_MAX = 1024


class Key(NamedTuple):
    """What watches must have in common to be one."""

    path: bytes  # as it was asked for
    is_recursive: bool
    authorization: bytes
    origin: str
    host: str


class Watches:
    """All shared watches of one proxy."""

    def __init__(self, members: Members, relay: Callable[[Exchange], None]) -> None:
        """`relay` carries a request to a member."""
        self._members = members
        self._relay = relay
        self._groups: dict[Key, Group] = {}

    def join(self, exchange: Exchange) -> bool:
        """Take a request if it is a watch that can be shared; False if a member has to answer."""
        plan = _watch_of(exchange)
        if plan is None or exchange.is_half_closed:  # who sends nothing more waits for nothing
            return False
        fields = exchange.head.fields
        key = Key(
            target.split(exchange.head.target).path,
            plan.is_recursive,
            fields.authorization,
            fields.headers.get("Origin", ""),
            fields.headers.get("Host", ""),
        )
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= GROUPS_MAX:
                return False
            group = self._groups[key] = self._make(key, exchange)
        self._members.figures.shared_joined_count += 1
        group.arrive(
            Follower(exchange, plan.since, group.left, self._relay, is_stream=plan.is_stream)
        )
        return True

    def stop(self) -> None:
        """End all of them; their clients are cut by whoever stops the connections."""
        for group in tuple(self._groups.values()):
            group.end()

    def show(self, text: Exposition) -> None:
        """Put what is shared into the text of one scrape."""
        figures = self._members.figures
        text.put("etcdpy_proxy_shared_watches", len(self._groups))
        watchers = sum(group.watchers_count for group in self._groups.values())
        text.put("etcdpy_proxy_shared_watchers", watchers)
        text.put("etcdpy_proxy_shared_joined_total", figures.shared_joined_count)
        text.put("etcdpy_proxy_shared_opened_total", figures.shared_opened_count)
        text.put("etcdpy_proxy_shared_events_total", figures.shared_events_count)
        text.put("etcdpy_proxy_shared_told_total", figures.shared_told_count)
        text.put("etcdpy_proxy_shared_cut_total", figures.shared_cut_count)

    def _make(self, key: Key, exchange: Exchange) -> Group:
        question = Question.of(key.path, exchange.head, is_recursive=key.is_recursive)
        return Group(
            question,
            self._members,
            lambda follower: self._relay(follower.exchange),
            lambda: self._end(key),
        )

    def _end(self, key: Key) -> None:
        self._groups.pop(key, None)


def _watch_of(exchange: Exchange) -> keys.Watch | None:
    """Return the watch that a request asks for, None for what is no watch that can be shared."""
    head = exchange.head
    if head.method != "GET" or head.is_http10 or exchange.body is not None:
        return None
    path, raw_query = target.split(head.target)
    if b"wait" not in raw_query or not (path + b"/").startswith(keys.PREFIX + b"/"):
        return None
    try:
        plan = keys.parse(Request("GET", path, raw_query), 0)
    except EtcdError:
        return None
    return plan if isinstance(plan, keys.Watch) else None
