"""Whether two lists of URLs lead to the same places, if need be after asking a name server.

A file of its own because two checks of a start need it (the settings against each other, and
against the running cluster) and because it is slow where names do not resolve: so it is only asked
where the texts differ.  `localhost` is never resolved: it is another place on every machine.
Source: spec/cluster.md section 2.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Sequence

from etcdpy import logs
from etcdpy.urls import go_quote, parse_url, split_host_port

log = logging.getLogger("etcdpy.pkg.netutil")

#: For how long one check may ask for names, and how long it waits before it asks again; etcd's.
RESOLVE_DEADLINE_S = 30.0
RETRY_S = 1.0


class UnresolvedError(Exception):
    """A host has no address, or none came in time; the text is etcd's."""


def resolve_deadline() -> float:
    """Return when a check that begins now gives up, in the running loop's time."""
    return asyncio.get_running_loop().time() + RESOLVE_DEADLINE_S


async def find_difference(one: Sequence[str], other: Sequence[str], deadline_s: float) -> str:
    """Return how two lists of URLs differ, in etcd's words; nothing if they are equal.

    `deadline_s` is the loop time at which names are given up.
    """
    if len(one) != len(other):
        return f"len({_quoted(one)}) != len({_quoted(other)})"
    if sorted(one) == sorted(other):
        return ""
    try:
        resolved = [sorted([await _resolve(u, deadline_s) for u in urls]) for urls in (one, other)]
    except UnresolvedError as error:
        return str(error)
    for first, second in zip(*resolved, strict=True):
        if first != second:
            return f"resolved urls: {go_quote(first)} != {go_quote(second)}"
    return ""


def _quoted(urls: Sequence[str]) -> str:
    return "[" + " ".join(go_quote(url) for url in urls) + "]"


async def _resolve(text: str, deadline_s: float) -> str:
    """Return a URL with an address in place of its host's name.  Raises: UnresolvedError."""
    url = parse_url(text)
    if url.scheme.startswith("unix"):
        return text
    host, port = split_host_port(url.host)
    if host == "localhost" or _is_address(host):
        return text
    address = await _ask_until(deadline_s, text, host, url.host)
    shown = f"[{address}]" if ":" in address else address
    log.info(
        "resolving %s to %s:%s",
        url.host,
        shown,
        port or "0",
        extra=logs.fields("resolved URL Host", url=text, host=url.host, resolved_addr=shown),
    )
    return str(url._replace(host=f"{shown}:{port or 0}"))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


async def _ask_until(deadline_s: float, text: str, host: str, where: str) -> str:
    """Return an address of `host`, asked for until there is one.

    Raises: UnresolvedError at the deadline.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            async with asyncio.timeout_at(deadline_s):
                found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            return str(found[0][4][0])
        except TimeoutError:
            reason = f"lookup {host}: i/o timeout"
        except (OSError, UnicodeError) as error:
            reason = f"lookup {host}: {getattr(error, 'strerror', None) or error}"
        if loop.time() + RETRY_S > deadline_s:
            log.error("could not resolve host %s", where)
            raise UnresolvedError(f"failed to resolve {go_quote(text)} ({reason})")
        log.warning(
            "failed resolving host %s (%s); retrying in %gs",
            where,
            reason,
            RETRY_S,
            extra=logs.fields("failed to resolve URL Host", url=text, host=where, error=reason),
        )
        await asyncio.sleep(RETRY_S)
