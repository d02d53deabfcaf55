"""From the settings and what is on disk to one start-up decision: found a cluster, or restart.

A directory with a log restarts and ignores every `initial-*` setting, as etcd does; one without
founds the cluster that `--initial-cluster` names.  Ids are derived, never drawn, so that members
that were given the same settings agree on them before they have spoken.
Source: spec/cluster.md sections 1 and 2, spec/members.md section 1.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from etcdpy.errors import ConfigError


def derive_member_id(peer_urls: Iterable[str], token: str) -> int:
    """Return the id of a founding member: SHA-1 over its sorted URLs and the cluster's token."""
    text = "".join(sorted(peer_urls)) + token
    return _first_eight(text.encode())


def derive_cluster_id(member_ids: Iterable[int]) -> int:
    """Return the id of the cluster founded by these members."""
    return _first_eight(b"".join(i.to_bytes(8, "big") for i in sorted(member_ids)))


def _first_eight(data: bytes) -> int:
    return int.from_bytes(hashlib.sha1(data, usedforsecurity=False).digest()[:8], "big")


@dataclass(frozen=True, slots=True)
class Founder:
    """One member of a new cluster."""

    id: int
    name: str
    peer_urls: tuple[str, ...]  # ascending


@dataclass(frozen=True, slots=True)
class NewCluster:
    """The cluster to found: the same value on each of its members but for `local_id`."""

    cluster_id: int
    local_id: int
    founders: tuple[Founder, ...]  # ascending by id


def plan_new_cluster(
    name: str,
    initial_cluster: Mapping[str, Sequence[str]],
    advertised_peer_urls: Sequence[str],
    token: str,
) -> NewCluster:
    """Return the cluster that the settings describe.

    Raises: ConfigError, with etcd's texts, where they contradict each other.
    """
    if name not in initial_cluster:
        raise ConfigError(
            f'couldn\'t find local name "{name}" in the initial cluster configuration'
        )
    _check_own_urls(name, initial_cluster, advertised_peer_urls)
    _check_distinct_urls(initial_cluster)
    founders = tuple(
        sorted(
            (
                Founder(derive_member_id(urls, token), member, tuple(sorted(urls)))
                for member, urls in initial_cluster.items()
            ),
            key=lambda founder: founder.id,
        )
    )
    if len(founders) > 1:
        raise ConfigError(
            f"--initial-cluster names {len(founders)} members;"
            " this version of etcdpy runs clusters of one"
        )
    return NewCluster(
        cluster_id=derive_cluster_id(founder.id for founder in founders),
        local_id=derive_member_id(initial_cluster[name], token),
        founders=founders,
    )


def _check_own_urls(
    name: str, initial_cluster: Mapping[str, Sequence[str]], advertised: Sequence[str]
) -> None:
    """Refuse a member whose two settings name different peer URLs."""
    own, announced = sorted(initial_cluster[name]), sorted(advertised)
    if own == announced:
        return
    missing = [url for url in own if url not in announced]
    if missing:
        raise ConfigError(
            f"--initial-cluster has {','.join(f'{name}={url}' for url in missing)} but missing from"
            f" --initial-advertise-peer-urls={','.join(announced)} ({_reason(announced, own)})"
        )
    extra = [url for url in announced if url not in own]
    pairs = ",".join(f"{name}={url}" for url in announced)
    raise ConfigError(
        f"--initial-advertise-peer-urls has {','.join(extra)} but missing from"
        f" --initial-cluster={pairs}"
    )


def _reason(one: Sequence[str], other: Sequence[str]) -> str:
    if len(one) != len(other):
        return f"len({_quoted(one)}) != len({_quoted(other)})"
    first, second = next((a, b) for a, b in zip(one, other, strict=True) if a != b)
    return f'resolved urls: "{first}" != "{second}"'


def _quoted(urls: Sequence[str]) -> str:
    return "[" + " ".join(f'"{url}"' for url in urls) + "]"


def _check_distinct_urls(initial_cluster: Mapping[str, Sequence[str]]) -> None:
    urls = [url for member in initial_cluster.values() for url in member]
    if len(urls) != len(set(urls)):
        pairs = sorted(f"{name}={url}" for name, own in initial_cluster.items() for url in own)
        raise ConfigError(f"initial cluster {','.join(pairs)} has duplicate url")
