"""Every metric that a member shows, by name.

The list is a contract: dashboards and alerts name these, the table in `docs/monitoring.md` is
tested against it, and a value for a metric that is not here is an error.
"""

from collections.abc import Mapping

from etcdpy.metrics.etcd import ETCD
from etcdpy.metrics.exposition import Family
from etcdpy.metrics.own import OWN

#: All families by name.
FAMILIES: Mapping[str, Family] = {family.name: family for family in (*ETCD, *OWN)}
