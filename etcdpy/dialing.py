"""Why a TCP connection was not made, as Go says it.

A file of its own, and a leaf, because a registry's client and a gateway both dial, and what they
log about it is what scripts know from etcd.
"""

import os


def describe_dial(address: str, error: OSError) -> str:
    """Return why there is no connection to `address`, a `host:port`."""
    if not error.errno or error.errno < 0:  # a bound of ours, or no address of the host
        words = "i/o timeout" if isinstance(error, TimeoutError) else str(error)
        return f"dial tcp {address}: {words}"
    return f"dial tcp {address}: connect: {os.strerror(error.errno).lower()}"
