"""Identity: the ids of members and clusters, derived from what their founders were told.

A file of its own because all founders must come to the same numbers by themselves, and because a
member that is added later gets its id by the same rule.
Source: spec/members.md section 1.
"""

import hashlib
from collections.abc import Iterable


def derive_member_id(peer_urls: Iterable[str], token: str) -> int:
    """Return the id of a founding member: SHA-1 over its sorted URLs and the cluster's token."""
    text = "".join(sorted(peer_urls)) + token
    return _first_eight(text.encode("utf-8", "surrogateescape"))


def derive_cluster_id(member_ids: Iterable[int]) -> int:
    """Return the id of the cluster founded by these members."""
    return _first_eight(b"".join(i.to_bytes(8, "big") for i in sorted(member_ids)))


def _first_eight(data: bytes) -> int:
    return int.from_bytes(hashlib.sha1(data, usedforsecurity=False).digest()[:8], "big")
