"""What a member tells of its own life at `/v2/stats/self` and `/v2/stats/leader`.

Counted in plain integers by the member; nothing here is replicated, all of it starts anew with
the process.  Source: spec/observability.md section 3.
"""

from collections.abc import Mapping
from typing import Any

from etcdpy.http.gojson.writer import format_duration, format_time


class ServerStats:
    """The objects behind `/v2/stats/self` and `/v2/stats/leader`."""

    def __init__(self, name: str, member_id: int, now_ns: int) -> None:
        self._name = name
        self._member_id = member_id
        self._started_ns = now_ns
        self._is_leader = False  # never reset by losing a quorum, as in etcd
        self._leader_id = 0
        self._leader_since_ns = now_ns
        self.leaders_count = 0  # times that a leader was seen where there was none, or another one

    def led_by(self, leader_id: int, now_ns: int) -> None:
        """Note who leads from now on, this member or another; not that nobody does."""
        self._is_leader = leader_id == self._member_id
        self.leaders_count += 1
        if leader_id != self._leader_id:
            self._leader_id = leader_id
            self._leader_since_ns = now_ns

    def render_self(self, now_ns: int, appends: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the JSON object, fields in the API's order; `appends` are the transport's."""
        return {
            "name": self._name,
            "id": f"{self._member_id:x}",
            "state": "StateLeader" if self._is_leader else "StateFollower",
            "startTime": format_time(self._started_ns),
            "leaderInfo": {
                "leader": f"{self._leader_id:x}" if self._leader_id else "",
                "uptime": format_duration(now_ns - self._leader_since_ns),
                "startTime": format_time(self._leader_since_ns),
            },
            **appends,
        }

    def render_leader(self, followers: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the leader's view of its followers, which are the transport's to describe."""
        return {"leader": f"{self._member_id:x}", "followers": followers}
