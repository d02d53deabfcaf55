"""What a member that has no data yet asks the others: who they are, and whether it is one of them.

A file of its own because it is the one place where a start believes somebody else: every answer
is bounded and checked, and nothing has been written to the disk before all of it was right.  It
asks with a client of its own, since there is no transport before a member knows its id.
Source: spec/cluster.md section 2, spec/members.md section 6.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from etcdpy import CLUSTER_VERSION
from etcdpy.errors import ConfigError
from etcdpy.http.peers.client import open_session, tls_of, url_of
from etcdpy.http.peers.protocol import (
    CLUSTER_ID,
    MIN_CLUSTER_VERSION,
    PEER_URLS_COUNT_MAX,
    PROTOCOL,
    find_id,
)
from etcdpy.startup.resolving import find_difference, resolve_deadline
from etcdpy.tls.contexts import ClientTls, TlsError
from etcdpy.tree.members import Member
from etcdpy.urls import parse_urls

log = logging.getLogger("etcdpy.etcdserver")

#: How long one URL may take to answer a member that joins, and one that founds; etcd's numbers.
JOIN_TIMEOUT_S = 10.0
FOUND_TIMEOUT_S = 1.0
#: Clusters have up to nine members by practice; these only bound what is believed of a stranger.
MEMBERS_COUNT_MAX = 256
ANSWER_BYTES_MAX = 1 << 20

_ID_MAX = 2**64 - 1
_RELEASE = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?:[-+][0-9A-Za-z.+-]{1,64})?")


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """A cluster as one of its members describes it."""

    id: int
    members: tuple[Member, ...]  # ascending by id
    is_etcdpy: bool = True  # False: who described it is no etcdpy, so a real etcd
    url: str = field(default="", compare=False)  # where it was described

    def __str__(self) -> str:
        """Return the cluster as etcd's refusals show it."""
        members = " ".join(_shown(member) for member in self.members)
        return f"{{ClusterID:{self.id:x} Members:[{members}] RemovedMemberIDs:[]}}"


class _UnusableError(Exception):
    """What a URL answers is no description of a cluster; the text is etcd's, for the log."""


async def find_running_cluster(urls: Sequence[str], tls: ClientTls | None = None) -> RunningCluster:
    """Return the cluster to join, as the first of these peer URLs that can tell describes it.

    Raises: ConfigError if none can, or if it is a cluster of the real etcd.
    """
    prefix = "cannot fetch cluster info from peer urls: "
    try:
        found = await describe_cluster(urls, tls)
    except ConfigError as refusal:
        raise ConfigError(f"{prefix}{refusal}") from None
    if not found.is_etcdpy:
        raise ConfigError(
            f"{prefix}{found.url} is a member of a cluster of the real etcd, which etcdpy cannot"
            " join"
        )
    return found


async def describe_cluster(urls: Sequence[str], tls: ClientTls | None = None) -> RunningCluster:
    """Return the cluster that the first of these peer URLs describes that can, of either kind.

    Raises: ConfigError if none can.
    """
    reason = "could not retrieve cluster information from the given URLs"
    async with _client(tls) as client:
        for url in urls:
            try:
                found = await _ask_cluster(client, url, JOIN_TIMEOUT_S)
            except _UnusableError as error:
                log.warning("%s", error)
                continue
            if found.members:
                return found
            reason = "failed to get raft cluster member(s) from the given URLs"
    raise ConfigError(reason)


async def is_bootstrapped(
    member_id: int, urls: Sequence[str], tls: ClientTls | None = None
) -> bool:
    """Tell whether a cluster that runs at one of these peer URLs knows this member as started."""
    async with _client(tls) as client:
        answers = await asyncio.gather(
            *(_ask_cluster(client, url, FOUND_TIMEOUT_S) for url in urls),
            return_exceptions=True,
        )
    for answer in answers:
        if isinstance(answer, RunningCluster):
            if any(member.id == member_id and member.client_urls for member in answer.members):
                return True
        elif not isinstance(answer, _UnusableError):
            raise answer
    return False


async def find_local_id(running: RunningCluster, name: str, listed: Sequence[Member]) -> int:
    """Return the id that the running cluster has given to the member `name` of `listed`.

    Names of others are of no account: members are recognised by their peer URLs.
    Raises: ConfigError if `listed` is not that cluster.
    """
    prefix = f"error validating peerURLs {running}: "
    if len(running.members) != len(listed):
        raise ConfigError(prefix + "member count is unequal")
    ids: dict[str, int] = {}
    deadline_s = resolve_deadline()
    for member in running.members:
        difference = ""
        for candidate in listed:
            difference = await find_difference(member.peer_urls, candidate.peer_urls, deadline_s)
            if not difference:
                ids[candidate.name] = member.id
                break
        if difference:
            raise ConfigError(
                f"{prefix}PeerURLs: no match found for existing member ({member.id:x},"
                f" [{' '.join(member.peer_urls)}]), last resolver error ({difference})"
            )
    if name not in ids:
        raise ConfigError(f"{prefix}no existing member has the peer URLs of {name}")
    return ids[name]


async def check_compatible(
    running: RunningCluster, local_id: int, tls: ClientTls | None = None
) -> None:
    """Refuse a cluster whose agreed version this release can't take part in.

    One of its members must say that it can, and none that it can't; who is down is not asked.
    Raises: ConfigError.
    """
    others = [member for member in running.members if member.id != local_id]
    async with _client(tls) as client:
        versions = await asyncio.gather(*(_ask_version(client, other) for other in others))
    verdicts = [_judge(*pair) for pair in zip(others, versions, strict=True)]
    if False in verdicts or True not in verdicts:
        raise ConfigError("incompatible with current running cluster")


def _judge(member: Member, version: str | None) -> bool | None:
    """Tell whether this release can be in a cluster of that version, None if nobody knows."""
    if version is None:
        return None
    found, lowest, highest = map(_order, (version, MIN_CLUSTER_VERSION, CLUSTER_VERSION))
    assert lowest is not None
    assert highest is not None
    if found is None:
        log.error("cannot understand the cluster version of member %x (%s)", member.id, version)
        return None
    if lowest <= found <= highest:
        return True
    is_low = found < lowest
    log.warning(
        "the running cluster version(%s) is %s cluster version(%s) supported",
        version,
        "lower than the minimal" if is_low else "higher than the maximum",
        MIN_CLUSTER_VERSION if is_low else CLUSTER_VERSION,
    )
    return False


# Asking


@dataclass(frozen=True, slots=True)
class _Client:
    """A session, and the TLS with which it reaches peers."""

    session: aiohttp.ClientSession
    tls: ClientTls


@asynccontextmanager
async def _client(tls: ClientTls | None) -> AsyncIterator[_Client]:
    """Yield a client; each URL is asked once."""
    async with open_session() as session:
        yield _Client(session, tls or ClientTls())


@dataclass(frozen=True, slots=True)
class _Answer:
    """The JSON of a 200, with what the headers say of who gave it."""

    content: Any
    cluster_id: int | None
    is_etcdpy: bool


async def _get(client: _Client, url: str, timeout_s: float) -> _Answer:
    """Raises: OSError, TimeoutError, aiohttp.ClientError or ValueError where it is no JSON."""
    target = url_of(url)
    try:
        context = tls_of(target, client.tls)
    except TlsError as error:
        raise ValueError(str(error)) from error
    async with (
        asyncio.timeout(timeout_s),
        client.session.get(
            target,
            allow_redirects=False,
            ssl=context,
            server_hostname=client.tls.server_name,
        ) as response,
    ):
        if response.status != 200:
            raise ValueError(f"it answers {response.status}")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                raise ValueError(f"it answers more than {ANSWER_BYTES_MAX} bytes")
        return _Answer(
            json.loads(bytes(body)),
            find_id(response.headers.get(CLUSTER_ID, "")),
            PROTOCOL in response.headers,
        )


async def _ask_cluster(client: _Client, url: str, timeout_s: float) -> RunningCluster:
    """Return the cluster that the peer at `url` is in; its members may be none.

    Raises: _UnusableError.
    """
    try:
        answer = await _get(client, f"{url}/members", timeout_s)
    except (OSError, aiohttp.ClientError) as error:
        raise _UnusableError(
            f"could not get cluster response from {url}: {_words(error, timeout_s)}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _UnusableError(f"could not unmarshal cluster response: {error}") from error
    try:
        members = _members_of(answer.content)
    except (ValueError, TypeError, KeyError) as error:
        raise _UnusableError(f"could not unmarshal cluster response: {error}") from error
    if answer.cluster_id is None:
        raise _UnusableError("could not parse the cluster ID from cluster res")
    return RunningCluster(answer.cluster_id, members, answer.is_etcdpy, url)


def _members_of(content: Any) -> tuple[Member, ...]:
    """Raises: ValueError, TypeError or KeyError for what is no list of members."""
    if not isinstance(content, list) or len(content) > MEMBERS_COUNT_MAX:
        raise ValueError("not a list of members")
    members = [_member_of(fields) for fields in content]
    if len({member.id for member in members}) != len(members):
        raise ValueError("two members have one id")
    return tuple(sorted(members, key=lambda member: member.id))


def _member_of(fields: Any) -> Member:
    member_id, name = fields["id"], fields.get("name", "")
    if type(member_id) is not int or not 0 < member_id <= _ID_MAX:
        raise ValueError("a member without an id")
    if not isinstance(name, str):
        raise ValueError("a name that is no text")
    peer_urls = _urls_of(fields["peerURLs"])
    if not peer_urls:
        raise ValueError(f"member {member_id:x} has no peer URLs")
    return Member(
        member_id,
        peer_urls,
        name,
        _urls_of(fields.get("clientURLs", [])),
        is_learner=fields.get("isLearner", False) is True,
    )


def _urls_of(texts: Any) -> tuple[str, ...]:
    if not isinstance(texts, list) or len(texts) > PEER_URLS_COUNT_MAX:
        raise ValueError("not a list of URLs")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a URL that is no text")
    return parse_urls(texts)


async def _ask_version(client: _Client, member: Member) -> str | None:
    """Return the cluster version that a member knows, None if it does not answer."""
    reason = ""
    for url in member.peer_urls:
        try:
            answer = await _get(client, f"{url}/version", JOIN_TIMEOUT_S)
            return str(answer.content["etcdcluster"])[:64]
        except (OSError, aiohttp.ClientError) as error:
            reason = _words(error, JOIN_TIMEOUT_S)
            log.warning("failed to reach the peerURL(%s) of member %x (%s)", url, member.id, reason)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            reason = str(error)
            log.warning(
                "failed to unmarshal the response body got from the peerURL(%s) of member %x (%s)",
                url,
                member.id,
                reason,
            )
    log.warning("cannot get the version of member %x (%s)", member.id, reason)
    return None


def _order(version: str) -> tuple[int, int, int] | None:
    """Return a release as numbers, None if it is none."""
    found = _RELEASE.fullmatch(version)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


def _words(error: Exception, timeout_s: float) -> str:
    """Return what is worth saying of a failed request, in one line."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    cause = getattr(error, "os_error", error)
    return str(getattr(cause, "strerror", None) or error) or type(error).__name__


def _shown(member: Member) -> str:
    return (
        f"&{{ID:{member.id:x} RaftAttributes:{{PeerURLs:[{' '.join(member.peer_urls)}]"
        f" IsLearner:{str(member.is_learner).lower()}}}"
        f" Attributes:{{Name:{member.name} ClientURLs:[{' '.join(member.client_urls)}]}}}}"
    )
