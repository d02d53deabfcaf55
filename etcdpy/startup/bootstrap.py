"""From the settings and what is on disk to one start-up decision: found, join, or restart.

A directory with a log restarts and ignores every `initial-*` setting, as etcd does; one without
founds the cluster that `--initial-cluster` names, or joins it.  The ids of founders are derived,
never drawn, so that members that were given the same settings agree on them before they have
spoken; a joiner's is the one that the running cluster has given it.
Source: spec/cluster.md sections 1 and 2, spec/members.md section 1.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgpack

from etcdpy.clustering.identity import derive_cluster_id, derive_member_id
from etcdpy.clustering.membership import change_to_add
from etcdpy.collector import collector_at_rest
from etcdpy.consensus.membership import bootstrap_entries, bootstrap_hard_state
from etcdpy.consensus.messages import (
    ConfState,
    Entry,
    HardState,
    SnapshotMeta,
)
from etcdpy.errors import ConfigError, FatalError
from etcdpy.settings.config import Config
from etcdpy.startup.discovery import find_cluster, join_cluster
from etcdpy.startup.domain import find_founders
from etcdpy.startup.joining import (
    check_compatible,
    find_local_id,
    find_running_cluster,
    is_bootstrapped,
)
from etcdpy.startup.recovering import force_new_cluster
from etcdpy.startup.resolving import find_difference, resolve_deadline
from etcdpy.store.datadir import DataDir
from etcdpy.store.notes import Note
from etcdpy.store.storage import Limits, Shapes, Storage
from etcdpy.tls.contexts import ClientTls
from etcdpy.tree.members import Member
from etcdpy.tree.snapshot import restore
from etcdpy.tree.tree import Tree
from etcdpy.urls import go_quote, parse_initial_cluster

log = logging.getLogger("etcdpy.etcdserver")

RaftStorage = Storage[Entry, HardState, SnapshotMeta]

_SHAPES = Shapes(
    entry=Entry,
    hard_state=HardState,
    snapshot_meta=lambda index, term, conf: SnapshotMeta(
        index, term, ConfState(tuple(conf[0]), tuple(conf[1]))
    ),
)


@dataclass(frozen=True, slots=True)
class NewCluster:
    """The cluster to found: the same value on each of its members but for `local_id`."""

    cluster_id: int
    local_id: int
    founders: tuple[Member, ...]  # ascending by id, with names


def derive_members(initial_cluster: Mapping[str, Sequence[str]], token: str) -> tuple[Member, ...]:
    """Return the members of `--initial-cluster` with the ids that founders have, ascending."""
    members = (
        Member(derive_member_id(urls, token), tuple(sorted(urls)), name)
        for name, urls in initial_cluster.items()
    )
    return tuple(sorted(members, key=lambda member: member.id))


async def plan_new_cluster(
    name: str,
    initial_cluster: Mapping[str, Sequence[str]],
    advertised_peer_urls: Sequence[str],
    token: str,
) -> NewCluster:
    """Return the cluster that the settings describe.

    Raises: ConfigError, with etcd's texts, where they contradict each other.
    """
    _check_own_name(name, initial_cluster)
    await _check_own_urls(name, initial_cluster[name], advertised_peer_urls)
    _check_distinct_urls(initial_cluster)
    founders = derive_members(initial_cluster, token)
    return NewCluster(
        cluster_id=derive_cluster_id(founder.id for founder in founders),
        local_id=derive_member_id(initial_cluster[name], token),
        founders=founders,
    )


def _check_own_name(name: str, initial_cluster: Mapping[str, Sequence[str]]) -> None:
    if name not in initial_cluster:
        raise ConfigError(
            f"couldn't find local name {go_quote(name)} in the initial cluster configuration"
        )


async def _check_own_urls(name: str, listed: Sequence[str], advertised: Sequence[str]) -> None:
    """Refuse a member whose two settings name different peer URLs."""
    own, announced = sorted(listed), sorted(advertised)
    difference = await find_difference(announced, own, resolve_deadline())
    if not difference:
        return
    pairs = ",".join(f"{name}={url}" for url in announced)
    missing = sorted(set(own) - set(announced))
    if missing:
        raise ConfigError(
            f"--initial-cluster has {','.join(f'{name}={url}' for url in missing)} but missing from"
            f" --initial-advertise-peer-urls={','.join(announced)} ({difference})"
        )
    extra = sorted(set(announced) - set(own))
    if extra:
        raise ConfigError(
            f"--initial-advertise-peer-urls has {','.join(extra)} but missing from"
            f" --initial-cluster={pairs}"
        )
    raise ConfigError(
        f"failed to resolve {','.join(announced)} to match --initial-cluster={pairs} ({difference})"
    )


def _check_distinct_urls(
    initial_cluster: Mapping[str, Sequence[str]], kind: str = "initial"
) -> None:
    urls = [url for member in initial_cluster.values() for url in member]
    if len(urls) != len(set(urls)):
        pairs = sorted(f"{name}={url}" for name, own in initial_cluster.items() for url in own)
        raise ConfigError(f"{kind} cluster {','.join(pairs)} has duplicate url")


# The decision


@dataclass(frozen=True, slots=True)
class StartUp:
    """What a member starts with: who it is, its log, and its tree at the newest snapshot."""

    member_id: int
    cluster_id: int
    storage: RaftStorage
    tree: Tree
    is_new: bool  # it has no log yet, or only its founders
    is_forced: bool = False  # `--force-new-cluster` has made it a cluster of one
    notes: tuple[Note, ...] = ()
    # The other members, as a joiner has heard of them before its own log tells it.
    remotes: tuple[Member, ...] = ()


async def start_up(config: Config, data_dir: DataDir, tls: ClientTls | None = None) -> StartUp:
    """Found or join the cluster that `config` describes, or go on with what `data_dir` holds.

    `tls` is that with which peers are asked.
    Disk work blocks the loop: nothing else runs on it yet.  Nothing is written to the disk before
    all settings, and all that other members say, are found to be right.
    Raises: ConfigError for settings that can't found a cluster or join one; FatalError for a disk
        that can't be used or that holds what this version can't read.
    """
    limits = Limits(wals_max=config.max_wals, snapshots_max=config.max_snapshots)
    if not data_dir.is_fresh:
        return await _restart(config, data_dir, limits)
    if config.initial_cluster_state == "existing":
        return await _join(config, data_dir, limits, tls)
    plan = await _plan(config)
    others = _peer_urls_but_of(config.name, plan.founders)
    if await is_bootstrapped(plan.local_id, others, tls):
        raise ConfigError(f"member {plan.local_id:x} has already been bootstrapped")
    if config.discovery:
        plan = await _meet(config, plan)
    identity = _Identity(plan.local_id, plan.cluster_id)
    storage = Storage.create(data_dir, identity.encode(), _SHAPES, limits)
    _write_founders(storage, plan)
    return StartUp(plan.local_id, plan.cluster_id, storage, Tree(), is_new=True)


async def _plan(config: Config) -> NewCluster:
    """Return the cluster to found; with `--discovery` that of this member, before it meets others.

    Raises: ConfigError.
    """
    return await plan_new_cluster(
        config.name,
        await _initial_cluster(config),
        config.initial_advertise_peer_urls,
        _token(config),
    )


async def _initial_cluster(config: Config) -> Mapping[str, Sequence[str]]:
    """Return the peer URLs of the founders by name, as far as they are known without meeting them.

    Raises: ConfigError.
    """
    own = config.initial_advertise_peer_urls
    if config.discovery:
        return {config.name: own}
    if config.discovery_srv:
        name = config.discovery_srv_name
        return await find_founders(config.discovery_srv, name, config.name, own)
    return config.initial_cluster_urls()


def _token(config: Config) -> str:
    return config.discovery or config.initial_cluster_token


async def _meet(config: Config, alone: NewCluster) -> NewCluster:
    """Return the cluster of all that meet under the discovery URL.  Raises: ConfigError."""
    pairs = sorted(f"{m.name}={url}" for m in alone.founders for url in m.peer_urls)
    url, proxy = config.discovery, config.discovery_proxy
    met = await join_cluster(url, proxy, alone.local_id, ",".join(pairs))
    return _plan_of_met(config, alone, met)


def _plan_of_met(config: Config, alone: NewCluster, met: str) -> NewCluster:
    """Raises: ConfigError if two of those that met have one URL."""
    initial_cluster = parse_initial_cluster(met)
    _check_distinct_urls(initial_cluster, "discovery")
    founders = derive_members(initial_cluster, _token(config))
    cluster_id = derive_cluster_id(founder.id for founder in founders)
    return NewCluster(cluster_id, alone.local_id, founders)


def _peer_urls_but_of(name: str, listed: Iterable[Member]) -> list[str]:
    """Return where the other members of `--initial-cluster` can be asked, ascending."""
    return sorted(url for member in listed if member.name != name for url in member.peer_urls)


def _write_founders(storage: RaftStorage, plan: NewCluster) -> None:
    """Make the first entries durable: the founders, added in term 1."""
    changes = [change_to_add(founder) for founder in plan.founders]
    entries = bootstrap_entries(changes)
    hard_state = bootstrap_hard_state(entries)
    storage.write(hard_state, entries)
    storage.stabilise(hard_state, entries)


async def _join(
    config: Config, data_dir: DataDir, limits: Limits, tls: ClientTls | None
) -> StartUp:
    """Begin with an empty log, which the leader of the running cluster will fill."""
    initial_cluster = await _initial_cluster(config)
    _check_own_name(config.name, initial_cluster)
    _check_distinct_urls(initial_cluster)
    if config.discovery:
        raise ConfigError("discovery URL should not be set when joining existing initial cluster")
    listed = derive_members(initial_cluster, config.initial_cluster_token)
    running = await find_running_cluster(_peer_urls_but_of(config.name, listed), tls)
    member_id = await find_local_id(running, config.name, listed)
    await check_compatible(running, member_id, tls)
    remotes = tuple(member for member in running.members if member.id != member_id)
    if any(member.name for member in running.members if member.id == member_id):
        # It has voted and acknowledged entries, of which it knows nothing any more: majorities
        # that counted on it would be none.
        raise ConfigError(
            f"member {member_id:x} has already been bootstrapped;"
            " if its data is lost, remove it from the cluster and add it again"
        )
    identity = _Identity(member_id, running.id, is_joiner=True)
    storage = Storage.create(data_dir, identity.encode(), _SHAPES, limits)
    return StartUp(member_id, running.id, storage, Tree(), is_new=True, remotes=remotes)


async def _restart(config: Config, data_dir: DataDir, limits: Limits) -> StartUp:
    if config.discovery:
        log.warning(
            "discovery token ignored since a cluster has already been initialized."
            ' Valid log found at "%s"',
            data_dir.wal_path,
        )
    recovered = Storage.recover(data_dir, _SHAPES, limits)
    storage = recovered.storage
    identity = _Identity.decode(recovered.metadata, data_dir)
    _, meta = storage.initial_state()
    if storage.last_index() == 0 and not identity.is_joiner:
        # Killed between the creation of the log and its first entries: nobody was answered yet.
        _write_founders(storage, await _plan_again(config, identity, data_dir))
    with collector_at_rest():
        tree = restore(recovered.rows) if meta.index else Tree()
    if config.force_new_cluster:
        force_new_cluster(storage, tree, identity.member_id)
    return StartUp(
        identity.member_id,
        identity.cluster_id,
        storage,
        tree,
        is_new=False,
        is_forced=config.force_new_cluster,
        notes=recovered.notes,
    )


async def _plan_again(config: Config, found: "_Identity", data_dir: DataDir) -> NewCluster:
    """Return the plan that an interrupted founding had.

    Raises: ConfigError if the settings have another one now.
    """
    plan = await _plan(config)
    if config.discovery:  # where it has registered already
        met = await find_cluster(config.discovery, config.discovery_proxy)
        plan = _plan_of_met(config, plan, met)
    if (plan.local_id, plan.cluster_id) != (found.member_id, found.cluster_id):
        raise ConfigError(
            f"{data_dir.path} was created for member {found.member_id:x} of cluster"
            f" {found.cluster_id:x}, the settings now name member {plan.local_id:x} of cluster"
            f" {plan.cluster_id:x}; start with the settings of then, or remove the directory"
        )
    return plan


class _Identity(NamedTuple):
    """Whose log it is: what stands in the head of each of its segments."""

    member_id: int
    cluster_id: int
    # Its log begins empty: an empty one is no founding that was cut short.
    is_joiner: bool = False

    def encode(self) -> bytes:
        packed: bytes = msgpack.packb(tuple(self))
        return packed

    @classmethod
    def decode(cls, metadata: bytes, data_dir: DataDir) -> "_Identity":
        """Raises: FatalError; the third field is missing where only founders were known."""
        try:
            member_id, cluster_id, *others = msgpack.unpackb(metadata)
            return cls(int(member_id), int(cluster_id), bool(others and others[0]))
        except (ValueError, TypeError) as error:
            raise FatalError(
                f"{data_dir.wal_path} does not say whose log it is: {error}"
            ) from error
