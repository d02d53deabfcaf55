"""`--discovery`: founders that do not know each other meet under a URL of some v2 server.

The URL's path is a directory there, with the wanted number of members in `_config/size`.  Each
founder writes its name and peer URLs under its id, which follows from them and the URL, and waits
until there are enough; the first so many, by the order in which they came, are the cluster.  Who
comes later finds it full.  A server that is not reached is asked again, for ever, at intervals
that double up to a bound.  Everything that is said is etcd's, word for word.
Source: spec/cluster.md section 4.1.
"""

import asyncio
import logging
import posixpath
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import Enum

from yarl import URL

from etcdpy import logs
from etcdpy.errors import ConfigError
from etcdpy.logs import NOTICE
from etcdpy.startup.registry import (
    INDEX_CLEARED,
    NODE_EXISTS,
    InvalidAnswerError,
    Node,
    RefusedError,
    Registry,
    RegistryError,
    UnavailableError,
    open_registry,
)
from etcdpy.urls import UrlError, go_quote, parse_initial_cluster, split_url

log = logging.getLogger("etcdpy.discovery")
main_log = logging.getLogger("etcdpy.etcdmain")

#: The waits before another try are 2, 4, ... seconds, up to 2 to this power.
BACKOFF_POWER_MAX = 8
SIZE_MAX = 2**64 - 1  # what Go's ParseUint takes

_CONFIG = "_config"
# Zeros in front are as many as may be, which is more than int() would take.
_DECIMAL = re.compile(r"0*([0-9]{1,20})")


class Failure(Enum):
    """Why nothing came of it; what is worth doing then differs."""

    FULL = "discovery: cluster is full"
    DUPLICATE_ID = "discovery: found duplicate id"
    DUPLICATE_NAME = "discovery: found duplicate name"
    BAD_SIZE = "discovery: size key is bad"
    BAD_ENDPOINT = "discovery: bad discovery endpoint"
    INVALID_URL = "discovery: invalid URL"
    OTHER = ""


class DiscoveryError(ConfigError):
    """The cluster could not be found under the URL, or not joined there."""

    def __init__(self, failure: Failure, words: str = "") -> None:
        super().__init__(f"failed to join discovery cluster ({words or failure.value})")
        self.failure = failure


def explain(error: DiscoveryError, *, url: str, name: str, data_dir: str) -> None:
    """Say why a member with these settings has not started, and what can be done."""
    match error.failure:
        case Failure.DUPLICATE_ID:
            main_log.error(
                "member %s has previously registered with discovery service token (%s).",
                go_quote(name),
                url,
            )
            main_log.error(
                "But etcd could not find valid cluster configuration in the given data dir (%s).",
                data_dir,
            )
            main_log.info(
                "Please check the given data dir path if the previous bootstrap succeeded"
            )
            main_log.info("or use a new discovery token if the previous bootstrap failed.")
        case Failure.DUPLICATE_NAME:
            main_log.error(
                "member with duplicated name has registered with discovery service token(%s).", url
            )
            main_log.error("please check (cURL) the discovery token for more information.")
            main_log.error(
                "please do not reuse the discovery token and generate a new one to bootstrap"
                " the cluster."
            )
        case _:
            main_log.error("%s", error)
            main_log.info("discovery token %s was used, but failed to bootstrap the cluster.", url)
            main_log.info("please generate a new discovery token and try to bootstrap again.")


async def join_cluster(url: str, proxy: str, member_id: int, own: str) -> str:
    """Register a founder under `url` and return the initial cluster, when all have come.

    `own` is the founder as `name=peer-url,...`; `proxy` an HTTP proxy, or nothing.
    Raises: DiscoveryError.
    """
    base, token = _split(url)
    async with open_registry(base, _proxy_url(proxy)) as registry:
        meeting = _Meeting(registry, base, token, f"{member_id:x}")
        try:
            return await meeting.join(own)
        except RegistryError as error:
            raise DiscoveryError(Failure.OTHER, str(error)) from error


async def find_cluster(url: str, proxy: str) -> str:
    """Return the initial cluster that has met under `url`, or will have, without joining it.

    Raises: DiscoveryError.
    """
    base, token = _split(url)
    async with open_registry(base, _proxy_url(proxy)) as registry:
        meeting = _Meeting(registry, base, token, "0")
        try:
            return await meeting.find()
        except RegistryError as error:
            raise DiscoveryError(Failure.OTHER, str(error)) from error


class _Attendance:
    """Who has registered so far, in the order in which they came, at most `size`."""

    def __init__(self, nodes: Sequence[Node], size: int, index: int, *, is_full: bool) -> None:
        self.nodes = list(nodes)[:size]
        self.size = size
        self.index = index  # of the server, when it was asked
        self.is_full = is_full  # without whom asks


class _Meeting:
    """One way through the protocol, with its count of vain tries."""

    def __init__(self, registry: Registry, base: URL, token: str, own_key: str) -> None:
        self._registry = registry
        self._url = str(base).removesuffix("/")
        self._token = token
        self._own_key = own_key
        self._retries_count = 0

    async def join(self, own: str) -> str:
        """Raises: DiscoveryError, RegistryError."""
        await self._check_room()
        await self._register(own)
        return _initial_cluster(await self._wait_for_all(await self._check_room()))

    async def find(self) -> str:
        """Raises: DiscoveryError, RegistryError."""
        attendance = await self._look()
        if not attendance.is_full:
            attendance = await self._wait_for_all(attendance)
        return _initial_cluster(attendance)

    async def _check_room(self) -> _Attendance:
        attendance = await self._look()
        if attendance.is_full:
            raise DiscoveryError(Failure.FULL)
        return attendance

    async def _look(self) -> _Attendance:
        """Return who is there; asks until the server answers."""
        while True:
            try:
                return await self._look_once()
            except UnavailableError as error:
                log.error("error #0: %s", error)
                await self._back_off("cluster status check")

    async def _look_once(self) -> _Attendance:
        try:
            value = (await self._registry.get(self._path(_CONFIG, "size"))).value
        except InvalidAnswerError as error:
            raise DiscoveryError(Failure.BAD_ENDPOINT) from error
        decimal = _DECIMAL.fullmatch(value)
        size = int(decimal[1]) if decimal else 0
        # Of nobody there can be no cluster: etcd takes a size of 0, and crashes.
        if not 0 < size <= SIZE_MAX:
            raise DiscoveryError(Failure.BAD_SIZE)
        directory = await self._registry.get(self._token)
        registered = [node for node in directory.children if node.name != _CONFIG]
        registered.sort(key=lambda node: node.created_index)
        first = registered[:size]
        is_full = len(first) == size and all(n.name != self._own_key for n in first)
        return _Attendance(first, size, directory.index, is_full=is_full)

    async def _register(self, own: str) -> None:
        path = self._path(self._own_key)
        try:
            created = await self._registry.create(path, own)
        except RefusedError as error:
            if error.code == NODE_EXISTS:
                raise DiscoveryError(Failure.DUPLICATE_ID) from error
            raise
        # Until it is seen, the server that was asked might not count it.
        try:
            await self._registry.wait(path, created.created_index, is_recursive=False)
        except UnavailableError as error:
            raise RegistryError(
                f"client: etcd cluster is unavailable or misconfigured; error #0: {error}\n"
            ) from error

    async def _wait_for_all(self, attendance: _Attendance) -> _Attendance:
        """Return the attendance when nobody is missing."""
        while True:
            self._say_who_is_there(attendance)
            try:
                await self._wait_for_missing(attendance)
                return attendance
            except UnavailableError as error:
                log.error("error #0: %s", error)
                await self._back_off("waiting for other nodes")
            except RefusedError as error:
                # So much else has been written there that the server has forgotten: look again.
                if error.code != INDEX_CLEARED:
                    raise
            attendance = await self._check_room()

    async def _wait_for_missing(self, attendance: _Attendance) -> None:
        """Add to the attendance who comes until it is whole.  Raises: RegistryError."""
        index = attendance.index + 1
        while (missing := attendance.size - len(attendance.nodes)) > 0:
            found = len(attendance.nodes)
            self._say(
                f"found {found} peer(s), waiting for {missing} more",
                "found peers from discovery server; waiting for more",
                {"found_peers": found, "needed_peers": missing},
            )
            node = await self._registry.wait(self._token, index, is_recursive=True)
            index = node.modified_index + 1
            self._say_peer(node)
            attendance.nodes.append(node)
        found = len(attendance.nodes)
        self._say(
            f"found {found} needed peer(s)",
            "found all needed peers from discovery server",
            {"found_peers": found},
        )

    def _say_who_is_there(self, attendance: _Attendance) -> None:
        for node in attendance.nodes:
            if node.name == self._own_key:
                text = f"found self {node.name} in the cluster"
                self._say(text, "found self from discovery server", {"self": node.name})
            else:
                self._say_peer(node)

    def _say_peer(self, node: Node) -> None:
        text = f"found peer {node.name} in the cluster"
        self._say(text, "found peer from discovery server", {"peer": node.name})

    def _say(self, text: str, event: str, values: Mapping[str, object]) -> None:
        """Say `text`; the JSON form of the log has `event` with `values`."""
        extra = logs.fields(event, **{"discovery_url": self._url, **values})
        log.log(NOTICE, "%s", text, extra=extra)

    async def _back_off(self, step: str) -> None:
        self._retries_count += 1
        wait_s = 1 << min(self._retries_count, BACKOFF_POWER_MAX)
        shown = f"{wait_s}s" if wait_s < 60 else f"{wait_s // 60}m{wait_s % 60}s"
        log.info(
            "%s: error connecting to %s, retrying in %s",
            step,
            self._url,
            shown,
            extra=logs.fields(
                "retry connecting to discovery service",
                url=self._url,
                reason=step,
                backoff=float(wait_s),
            ),
        )
        await asyncio.sleep(wait_s)

    def _path(self, *parts: str) -> str:
        return posixpath.join("/", self._token, *parts)


def _initial_cluster(attendance: _Attendance) -> str:
    """Raises: DiscoveryError for what no cluster can be founded of."""
    text = ",".join(node.value for node in attendance.nodes)
    try:
        members = parse_initial_cluster(text)
    except UrlError as error:
        raise DiscoveryError(Failure.INVALID_URL) from error
    if len(members) != attendance.size:
        raise DiscoveryError(Failure.DUPLICATE_NAME)
    return text


def _split(url: str) -> tuple[URL, str]:
    """Return the server and the path of a discovery URL.  Raises: DiscoveryError."""
    try:
        parsed, path = split_url(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise UrlError(f"unsupported protocol scheme {go_quote(parsed.scheme)}")
        return URL(str(parsed._replace(fragment=""))), path
    except ValueError as error:
        raise DiscoveryError(Failure.OTHER, str(error)) from error


def _proxy_url(text: str) -> URL | None:
    """Return the URL of a proxy, of which the scheme may be missing.  Raises: DiscoveryError."""
    if not text:
        return None
    has_scheme = text.startswith(("http:", "https:"))
    with suppress(ValueError):
        url = URL(text if has_scheme else f"http://{text}")
        if url.host:
            extra = logs.fields("running proxy with discovery", proxy_url=str(url))
            log.info("using proxy %s", go_quote(str(url)), extra=extra)
            return url
    raise DiscoveryError(Failure.OTHER, f"invalid proxy address {go_quote(text)}")
