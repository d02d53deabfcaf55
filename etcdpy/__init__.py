"""etcdpy: the etcd v2 server in Python.  Importing it does nothing but name the version."""

__version__ = "0.1.0"

#: The etcd release whose behaviour this package reproduces; clients parse it from `/version`.
ETCD_VERSION = "3.4.23"
#: The cluster version that members of this release agree on.
CLUSTER_VERSION = "3.4.0"
