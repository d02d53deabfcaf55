"""The cluster's members as rows of the tree, under `/0`, which no client reaches.

Two ways lead here.  Changes of the configuration (add, update, promote, remove) are applied from
the log's conf changes by the functions of this module; what a member says of itself and the
cluster version are ordinary SET commands, made here and applied like any other.  Paths and JSON
values are etcd's, and so are index steps and counters: on a fresh single member the first client
write has index 4.
Source: spec/cluster.md section 3, spec/members.md sections 1 to 3.
"""

import json
import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from etcdpy.errors import ContentError, EtcdError
from etcdpy.tree.command import Command, CommandKind
from etcdpy.tree.tree import Tree

MEMBERS = b"/0/members"
REMOVED_MEMBERS = b"/0/removed_members"
CLUSTER_VERSION = b"/0/version"
RAFT_ATTRIBUTES = b"raftAttributes"
ATTRIBUTES = b"attributes"

_ROOT = b"/0"
_ATTRIBUTES_PATH = re.compile(MEMBERS + rb"/[0-9a-f]{1,16}/" + ATTRIBUTES)
_VERSION = re.compile(rb"\d{1,6}\.\d{1,6}\.\d{1,6}")


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the cluster; an unstarted one has no name and no client URLs."""

    id: int
    peer_urls: tuple[str, ...]  # ascending; what a caller repeats stays repeated
    name: str = ""
    client_urls: tuple[str, ...] = ()  # ascending
    is_learner: bool = False


class MemberRefusal(Enum):
    """Why a change of the configuration has no effect; the values are the API's words."""

    ID_REMOVED = "membership: ID removed"
    ID_EXISTS = "membership: ID exists"
    ID_NOT_FOUND = "membership: ID not found"
    PEER_URL_EXISTS = "membership: peerURL exists"
    NOT_A_LEARNER = "membership: can only promote a learner member"


# Reading


def list_members(tree: Tree) -> list[Member]:
    """Return all members, ascending by id; uncounted."""
    directory = tree.find_node(MEMBERS)
    if directory is None or directory.children is None:
        return []
    members = []
    for name, node in directory.children.items():
        rows = node.children or {}
        # A member that announces itself after it was removed leaves attributes alone.
        if RAFT_ATTRIBUTES in rows:
            attributes = rows[ATTRIBUTES].value if ATTRIBUTES in rows else b"{}"
            members.append(_member_of(int(name, 16), rows[RAFT_ATTRIBUTES].value, attributes))
    return sorted(members, key=lambda member: member.id)


def removed_ids(tree: Tree) -> set[int]:
    """Return the ids of all members that were ever removed; they are never used again."""
    directory = tree.find_node(REMOVED_MEMBERS)
    if directory is None or directory.children is None:
        return set()
    return {int(name, 16) for name in directory.children}


def cluster_version(tree: Tree) -> str | None:
    """Return the agreed cluster version, such as `3.4.0`; None until there is one."""
    node = tree.find_node(CLUSTER_VERSION)
    return node.value.decode() if node is not None else None


def _member_of(member_id: int, raft_attributes: bytes, attributes: bytes) -> Member:
    try:
        raft_fields = _read_fields(raft_attributes)
        name, client_urls = _read_attributes(attributes)
        return Member(
            id=member_id,
            peer_urls=_texts(raft_fields.get("peerURLs")),
            name=name,
            client_urls=client_urls,
            is_learner=bool(raft_fields.get("isLearner", False)),
        )
    except ValueError as error:
        raise ContentError(f"the rows of member {member_id:x} are damaged: {error}") from error


def _read_attributes(data: bytes) -> tuple[str, tuple[str, ...]]:
    """Return the name and client URLs that a member has announced.  Raises: ValueError."""
    fields = _read_fields(data)
    (name,) = _texts([fields.get("name", "")])
    return name, _texts(fields.get("clientURLs", []))


def _read_fields(data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(data)
    except RecursionError as error:
        raise ValueError("JSON of too many levels") from error
    if type(fields) is not dict:
        raise ValueError("no JSON object")
    return fields


def _texts(values: Any) -> tuple[str, ...]:
    if type(values) is not list or not all(type(value) is str for value in values):
        raise ValueError(f"not texts: {values!r:.40}")
    "".join(values).encode()  # an escape of JSON can be half a character
    return tuple(values)


# Commands of a member about itself and the cluster


def publish(
    member_id: int, name: str, client_urls: tuple[str, ...] | list[str], now_ns: int
) -> Command:
    """Return the command by which a member, at each start, announces its name and client URLs."""
    fields: dict[str, Any] = {"name": name, "clientURLs": sorted(client_urls)}
    value = _to_json({key: field for key, field in fields.items() if field})
    path = _path_of(member_id) + b"/" + ATTRIBUTES
    return Command(CommandKind.SET, now_ns, path, value)


def set_cluster_version(version: str, now_ns: int) -> Command:
    """Return the command that makes `version` (`3.4.0`) the agreed cluster version."""
    return Command(CommandKind.SET, now_ns, CLUSTER_VERSION, version.encode())


def check_command(command: Command) -> None:
    """Check that `command` leaves alone what only changes of the configuration may change.

    Raises: ValueError if what it leaves could not be read as members and their version.
    """
    path, value = command.path, command.value
    if path != _ROOT and not path.startswith(_ROOT + b"/"):
        return
    if command.kind == CommandKind.SET and not command.is_dir and command.expiration_ns is None:
        if path == CLUSTER_VERSION and _VERSION.fullmatch(value):
            return
        if _ATTRIBUTES_PATH.fullmatch(path):
            _read_attributes(value)
            return
    raise ValueError(f"{path!r} is not for such a command")


def check_rows(tree: Tree) -> None:
    """Check that the members and their version can be read from a tree that others have made.

    Raises: ContentError.
    """
    version = tree.find_node(CLUSTER_VERSION)
    try:
        if version is not None and not _VERSION.fullmatch(version.value):
            raise ValueError("no version of the cluster")
        removed_ids(tree)
        for member in list_members(tree):
            if not 0 < member.id < 2**64 or not member.peer_urls:
                raise ValueError(f"member {member.id:x} can't be one")
    except ValueError as error:
        raise ContentError(f"the rows of members are damaged: {error}") from error


# Changes of the configuration, applied


def add_member(tree: Tree, member: Member, now_ns: int) -> MemberRefusal | None:
    """Add `member` without its attributes, unless its id or a peer URL of it is in use."""
    members = _read_members(tree)
    refusal = _find_refusal_of_new(tree, members, member)
    if refusal is None:
        path = _path_of(member.id) + b"/" + RAFT_ATTRIBUTES
        tree.create(path, value=_raft_attributes_of(member), now_ns=now_ns)
    return refusal


def update_member_urls(
    tree: Tree, member_id: int, peer_urls: tuple[str, ...], now_ns: int
) -> MemberRefusal | None:
    """Give a member other peer URLs, unless one of them is another member's."""
    members = _read_members(tree)
    refusal = _find_refusal_of_known(tree, members, member_id)
    if refusal is None and _is_any_url_in_use(members, peer_urls, member_id):
        refusal = MemberRefusal.PEER_URL_EXISTS
    if refusal is None:
        changed = replace(members[member_id], peer_urls=peer_urls)
        _update_raft_attributes(tree, changed, now_ns)
    return refusal


def promote_member(tree: Tree, member_id: int, now_ns: int) -> MemberRefusal | None:
    """Make a learner a voting member."""
    members = _read_members(tree)
    refusal = _find_refusal_of_known(tree, members, member_id)
    if refusal is None and not members[member_id].is_learner:
        refusal = MemberRefusal.NOT_A_LEARNER
    if refusal is None:
        _update_raft_attributes(tree, replace(members[member_id], is_learner=False), now_ns)
    return refusal


def remove_member(tree: Tree, member_id: int, now_ns: int) -> MemberRefusal | None:
    """Remove a member and remember its id for ever: two index steps."""
    members = _read_members(tree)
    refusal = _find_refusal_of_known(tree, members, member_id)
    if refusal is None:
        tree.delete(_path_of(member_id), is_dir=True, is_recursive=True, now_ns=now_ns)
        tree.create(REMOVED_MEMBERS + b"/%x" % member_id, now_ns=now_ns)
    return refusal


def _read_members(tree: Tree) -> dict[int, Member]:
    """Return the members by id, read as etcd reads them before a change: counted as gets.

    The removed ids are read only if there are members, so a new cluster's first member is
    preceded by one failed get.
    """
    for path in (MEMBERS, REMOVED_MEMBERS):
        try:
            tree.get(path, is_recursive=True, is_sorted=True, now_ns=0)
        except EtcdError:
            break
    return {member.id: member for member in list_members(tree)}


def _find_refusal_of_new(
    tree: Tree, members: dict[int, Member], member: Member
) -> MemberRefusal | None:
    if member.id in removed_ids(tree):
        return MemberRefusal.ID_REMOVED
    if member.id in members:
        return MemberRefusal.ID_EXISTS
    if _is_any_url_in_use(members, member.peer_urls, member.id):
        return MemberRefusal.PEER_URL_EXISTS
    return None


def _find_refusal_of_known(
    tree: Tree, members: dict[int, Member], member_id: int
) -> MemberRefusal | None:
    if member_id in removed_ids(tree):
        return MemberRefusal.ID_REMOVED
    return None if member_id in members else MemberRefusal.ID_NOT_FOUND


def _is_any_url_in_use(
    members: dict[int, Member], peer_urls: tuple[str, ...], except_id: int
) -> bool:
    used = {
        url for member in members.values() if member.id != except_id for url in member.peer_urls
    }
    return not used.isdisjoint(peer_urls)


def _update_raft_attributes(tree: Tree, member: Member, now_ns: int) -> None:
    path = _path_of(member.id) + b"/" + RAFT_ATTRIBUTES
    tree.update(path, value=_raft_attributes_of(member), now_ns=now_ns)


def _raft_attributes_of(member: Member) -> bytes:
    fields: dict[str, Any] = {"peerURLs": sorted(member.peer_urls)}
    if member.is_learner:
        fields["isLearner"] = True
    return _to_json(fields)


def _path_of(member_id: int) -> bytes:
    return MEMBERS + b"/%x" % member_id


def _to_json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
