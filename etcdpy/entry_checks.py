"""What is asked of an entry before a peer may have it in the log, by kind of entry.

A file of its own because reading an entry is the business of two who do not know each other, and
the peer port, which asks, knows neither.  What is in the log must be applied by every member, now
and after each restart: there it is too late to refuse it.
"""

from etcdpy import apply
from etcdpy.clustering import membership
from etcdpy.consensus.messages import EntryKind
from etcdpy.http.peers.admission import DataChecks

ENTRY_CHECKS: DataChecks = {
    EntryKind.NORMAL: apply.check_data,
    EntryKind.CONF_CHANGE: membership.check_data,
}
