"""Failures of the cluster that a client sees as an internal error and an operator in the log.

Source: spec/members.md section 3.2, spec/auth.md section 3.4.
"""

import logging

_log = logging.getLogger("etcdpy.etcdserver.api.etcdhttp")

# The causes that etcd expects; it says of any other that it did not.
_EXPECTED_CAUSES = frozenset(
    (
        "etcdserver: re-configuration failed due to not enough started members",
        "etcdserver: unhealthy cluster",
        "etcdserver: request timed out, possibly due to connection lost",
        "etcdserver: request timed out, possibly due to previous leader failure",
    )
)


def note(cause: str) -> None:
    """Log why an answer is "Internal Server Error"."""
    _log.error("%s" if cause in _EXPECTED_CAUSES else "got unexpected response error (%s)", cause)
