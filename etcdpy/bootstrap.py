"""From the settings and what is on disk to one start-up decision: found a cluster, or restart.

A directory with a log restarts and ignores every `initial-*` setting, as etcd does; one without
founds the cluster that `--initial-cluster` names.  Ids are derived, never drawn, so that members
that were given the same settings agree on them before they have spoken.
Source: spec/cluster.md sections 1 and 2, spec/members.md section 1.
"""

import gc
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgpack

from etcdpy.config import Config
from etcdpy.consensus.membership import bootstrap_entries, bootstrap_hard_state
from etcdpy.consensus.messages import (
    ConfState,
    Entry,
    HardState,
    SnapshotMeta,
)
from etcdpy.errors import ConfigError, FatalError
from etcdpy.membership import change_to_add
from etcdpy.store.datadir import DataDir
from etcdpy.store.notes import Note
from etcdpy.store.storage import Limits, Shapes, Storage
from etcdpy.tree.members import Member
from etcdpy.tree.snapshot import restore
from etcdpy.tree.tree import Tree

RaftStorage = Storage[Entry, HardState, SnapshotMeta]

_SHAPES = Shapes(
    entry=Entry,
    hard_state=HardState,
    snapshot_meta=lambda index, term, conf: SnapshotMeta(
        index, term, ConfState(tuple(conf[0]), tuple(conf[1]))
    ),
)


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


# The decision


@dataclass(frozen=True, slots=True)
class StartUp:
    """What a member starts with: who it is, its log, and its tree at the newest snapshot.

    `remotes` are the members that a joiner has learned of, itself included, before its own log
    tells it of them; empty but for one that joins.
    """

    member_id: int
    cluster_id: int
    storage: RaftStorage
    tree: Tree
    is_new: bool
    notes: tuple[Note, ...] = ()
    remotes: tuple[Member, ...] = ()


async def start_up(config: Config, data_dir: DataDir) -> StartUp:
    """Found the cluster that `config` describes, or go on with what `data_dir` holds.

    Disk work blocks the loop: nothing else runs on it yet.
    Raises: ConfigError for settings that can't found a cluster; FatalError for a disk that can't
        be used or that holds what this version can't read.
    """
    limits = Limits(wals_max=config.max_wals, snapshots_max=config.max_snapshots)
    if not data_dir.is_fresh:
        return _restart(config, data_dir, limits)
    plan = _plan(config)
    identity = msgpack.packb((plan.local_id, plan.cluster_id))
    storage = Storage.create(data_dir, identity, _SHAPES, limits)
    _write_founders(storage, plan)
    return StartUp(plan.local_id, plan.cluster_id, storage, Tree(), is_new=True)


def _plan(config: Config) -> NewCluster:
    if config.initial_cluster_state == "existing":
        raise ConfigError(
            '--initial-cluster-state is "existing";'
            " this version of etcdpy cannot join a running cluster"
        )
    return plan_new_cluster(
        config.name,
        config.initial_cluster_urls(),
        config.initial_advertise_peer_urls,
        config.initial_cluster_token,
    )


def _write_founders(storage: RaftStorage, plan: NewCluster) -> None:
    """Make the first entries durable: the founders, added in term 1."""
    changes = [change_to_add(Member(f.id, f.peer_urls)) for f in plan.founders]
    entries = bootstrap_entries(changes)
    hard_state = bootstrap_hard_state(entries)
    storage.write(hard_state, entries)
    storage.stabilise(hard_state, entries)


def _restart(config: Config, data_dir: DataDir, limits: Limits) -> StartUp:
    recovered = Storage.recover(data_dir, _SHAPES, limits)
    storage = recovered.storage
    member_id, cluster_id = _read_identity(recovered.metadata, data_dir)
    _, meta = storage.initial_state()
    if storage.last_index() == 0:
        # Killed between the creation of the log and its first entries: nobody was answered yet.
        plan = _plan(config)
        if (plan.local_id, plan.cluster_id) != (member_id, cluster_id):
            raise ConfigError(
                f"{data_dir.path} was created for member {member_id:x} of cluster"
                f" {cluster_id:x}, the settings now name member {plan.local_id:x} of cluster"
                f" {plan.cluster_id:x}; start with the settings of then, or remove the directory"
            )
        _write_founders(storage, plan)
    with _collector_at_rest():
        tree = restore(recovered.rows) if meta.index else Tree()
    return StartUp(member_id, cluster_id, storage, tree, is_new=False, notes=recovered.notes)


def _read_identity(metadata: bytes, data_dir: DataDir) -> tuple[int, int]:
    try:
        member_id, cluster_id = msgpack.unpackb(metadata)
    except (ValueError, TypeError) as error:
        raise FatalError(f"{data_dir.wal_path} does not say whose log it is: {error}") from error
    return int(member_id), int(cluster_id)


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Load without the cyclic collector, then put what was loaded out of its sight.

    Nodes form no cycles, and walking a million of them takes a fifth of a second each time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
