"""Telemetry: one member, seen from outside: its metrics, its variables, its health.

A file of its own because it looks into every part and belongs to none: the parts keep plain
numbers, and all of them are read when somebody asks.  Rules for changing it: it changes nothing
that it looks at but its own counters, and a scrape takes no longer with more keys.
Source: spec/observability.md sections 2, 4, 5 and 6.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Any

from etcdpy import logs
from etcdpy.consensus.messages import Role
from etcdpy.errors import EtcdError
from etcdpy.http.app import HttpServer
from etcdpy.http.gojson.writer import format_duration
from etcdpy.http.traffic import Traffic
from etcdpy.metrics.exposition import Exposition
from etcdpy.metrics.families import FAMILIES
from etcdpy.quota import ALARM
from etcdpy.telemetry import exhibits
from etcdpy.telemetry.exhibits import Parts

log = logging.getLogger("etcdpy.etcdserver.api.etcdhttp")
server_log = logging.getLogger("etcdpy.member")

#: How long a health probe waits for the quorum; etcd's number.
HEALTH_TIMEOUT_S = 1.0
#: The value of `--metrics` that shows all.
EXTENSIVE = "extensive"

_NS_PER_S = 1_000_000_000


class Telemetry:
    """What an operator sees of a member: the Monitor that the handlers know.

    Made and used on one loop; `start`, then `stop`, once each.
    """

    def __init__(self, parts: Parts, *, heartbeat_s: float, metrics: str = "basic") -> None:
        """`metrics` is the setting of that name; its other values mean the same as `basic`."""
        self._parts = parts
        self._heartbeat_s = heartbeat_s
        self._is_extensive = metrics == EXTENSIVE
        self._late_beats_said = 0

    @property
    def traffic(self) -> Traffic:
        """What is counted of the requests for keys."""
        return self._parts.traffic

    def start(self, **servers: HttpServer) -> None:
        """Begin to watch loop, collector and clocks, and the servers, by who comes there."""
        self._parts.servers.update(servers)
        self._parts.loop.start(self._heartbeat_s, self._look)
        self._parts.collector.start()
        self._parts.clocks.start()

    async def stop(self) -> None:
        """End it; harmless when it never began."""
        self._parts.loop.stop()
        self._parts.collector.stop()
        await self._parts.clocks.stop()

    def render_metrics(self) -> bytes:
        """Return the text of `/metrics`."""
        text = Exposition(FAMILIES, is_extensive=self._is_extensive)
        exhibits.show(self._parts, text)
        return text.render()

    def variables(self) -> Mapping[str, Any]:
        """Return the values of `/debug/vars`, in the order of the answer."""
        return exhibits.variables(self._parts)

    def set_log_level(self, level: str) -> bool:
        """Have every part log from `level` on, one of capnslog's; False if it has no such."""
        name = logs.find_level(level)
        if name is None:
            return False
        log.log(logs.NOTICE, 'globalLogLevel set to "%s"', name)
        logs.set_level(name)
        return True

    async def is_healthy(self, excluded_alarms: Collection[str] = ()) -> bool:
        """Tell whether no alarm is on, a leader is known and a quorum answers within 1 s."""
        probes = self._parts.probes
        reason = self._find_alarm(excluded_alarms)
        if not reason:
            trouble = await self._find_trouble()
            reason = f"; {trouble} (status code 503)" if trouble else ""
        if reason:
            probes.unhealthy_count += 1
            log.warning("/health error%s", reason)
        else:
            probes.healthy_count += 1
            self._parts.tree.stats.gets_success += 1  # the probe is a quorum read
        return not reason

    def read_failed(self) -> None:
        """Note that no quorum answered a read within its time-out."""
        self._parts.probes.failed_reads_count += 1

    def _find_alarm(self, excluded: Collection[str]) -> str:
        """Return the alarm of this member that is on, in etcd's words."""
        quota = self._parts.quota
        quota.look()
        if not quota.exceeded:
            return ""
        alarm = f"memberID:{self._parts.member_id} alarm:{ALARM} "
        if ALARM in excluded:
            log.debug("/health excluded alarm %s", alarm)
            return ""
        return f" due to {alarm}"

    async def _find_trouble(self) -> str:
        driver = self._parts.driver
        if driver.status.leader_id == 0:
            return "no leader"
        try:
            await asyncio.wait_for(driver.read_index(), HEALTH_TIMEOUT_S)
        except TimeoutError:
            self.read_failed()
            return "QGET failed etcdserver: request timed out"
        except EtcdError as error:
            return f"QGET failed {error.cause.decode()}"
        return ""

    def _look(self) -> None:
        """Say, at most once in a heartbeat interval, that heartbeats of this leader were late."""
        driver = self._parts.driver
        late, said = driver.late_beats_count, self._late_beats_said
        self._late_beats_said = late
        if late == said or driver.status.role is not Role.LEADER:
            return
        beat_ns = int(self._heartbeat_s * _NS_PER_S)
        peers = [peer for peer in self._parts.transport.peers if not peer.is_guest]
        for peer in peers:
            server_log.warning(
                "failed to send out heartbeat on time (exceeded the %s timeout for %s, to %x)",
                format_duration(beat_ns),
                format_duration((late - said) * beat_ns),
                peer.member_id,
            )
        if peers:
            server_log.warning("server is likely overloaded")
