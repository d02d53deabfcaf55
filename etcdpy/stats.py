"""What a member tells of its own life at `/v2/stats/self` and `/v2/stats/leader`.

Counted in plain integers by the member; nothing here is replicated, all of it starts anew with
the process.  Source: spec/observability.md section 3.
"""

from collections.abc import Mapping
from typing import Any

from etcdpy.http.gojson import format_duration, format_time


class ServerStats:
    """The objects behind `/v2/stats/self` and `/v2/stats/leader`."""

    def __init__(self, name: str, member_id: int, now_ns: int) -> None:
        self._name = name
        self._member_id = member_id
        self._started_ns = now_ns
        self._is_leader = False  # never reset by losing a quorum, as in etcd
        self._leader_id = 0
        self._leader_since_ns = now_ns

    def became_leader(self, now_ns: int) -> None:
        """Note that this member leads from now on."""
        self._is_leader = True
        self._leader_id = self._member_id
        self._leader_since_ns = now_ns

    def render_self(self, now_ns: int) -> Mapping[str, Any]:
        """Return the JSON object, fields in the API's order."""
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
            "recvAppendRequestCnt": 0,
            "sendAppendRequestCnt": 0,
        }

    def render_leader(self) -> Mapping[str, Any]:
        """Return the leader's view of its followers; a single member has none."""
        return {"leader": f"{self._member_id:x}", "followers": {}}
