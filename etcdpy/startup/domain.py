"""`--discovery-srv`: founders as the SRV records of a domain name them.

A file of its own because records know hosts and no members: a record that leads to one of this
member's own peer URLs gets its name, the others are numbered.  Records of both kinds count, those
of `etcd-server-ssl` for https and those of `etcd-server` for http; etcd 3.4 asks for both and
drops the latter, which its documentation has not.
Source: spec/cluster.md section 4.2.
"""

import logging
from collections.abc import Mapping, Sequence
from itertools import count

from etcdpy import logs, srv
from etcdpy.errors import ConfigError
from etcdpy.logs import NOTICE
from etcdpy.srv import NameLookupError, Record
from etcdpy.urls import UrlError, go_quote, parse_initial_cluster, parse_url, split_host_port

log = logging.getLogger("etcdpy.embed")

_SERVICE = "etcd-server"


class _NotFoundError(Exception):
    """The records of a service name nobody; the text is etcd's."""


async def find_founders(
    domain: str, service_name: str, name: str, peer_urls: Sequence[str], *, is_member: bool = True
) -> dict[str, tuple[str, ...]]:
    """Return the founders' peer URLs by name.

    `name` and `peer_urls` are this member's; a proxy, which is none, need not be among them.
    Raises: ConfigError.
    """
    try:
        entries = await _Lookup(domain, service_name, name, peer_urls).run()
        founders = parse_initial_cluster(",".join(entries))
    except (NameLookupError, _NotFoundError, UrlError) as error:
        extra = logs.fields("failed to resolve during SRV discovery", error=str(error))
        log.error("couldn't resolve during SRV discovery (%s)", error, extra=extra)
        raise ConfigError(f"error setting up initial cluster: {error}") from error
    for entry in entries:
        extra = logs.fields("got bootstrap from DNS for etcd-server", node=entry)
        log.log(NOTICE, "got bootstrap from DNS for etcd-server at %s", entry, extra=extra)
    if is_member and name not in founders:
        raise ConfigError(
            "error setting up initial cluster:"
            f" cannot find local etcd member {go_quote(name)} in SRV records"
        )
    return founders


class _Lookup:
    """One reading of a domain."""

    def __init__(self, domain: str, service_name: str, name: str, peer_urls: Sequence[str]) -> None:
        self._domain = domain
        self._service_name = service_name
        self._name = name
        self._peer_urls = peer_urls
        self._numbers = count()
        self._own: Mapping[str, str] = {}  # address with port: the peer URL of ours there

    async def run(self) -> list[str]:
        """Return `name=url` for each record that leads somewhere.

        Raises: NameLookupError where our own hosts have no address; _NotFoundError.
        """
        self._own = {
            await _address_of(*split_host_port(parse_url(url).host)): url for url in self._peer_urls
        }
        entries: list[str] = []
        refusals: list[_NotFoundError] = []
        for is_tls in (True, False):
            try:
                entries += await self._read(is_tls)
            except _NotFoundError as refusal:
                refusals.append(refusal)
        if not entries and refusals:
            # A domain that has http records only, with something wrong in them, says that.
            is_absent = [isinstance(refusal.__cause__, NameLookupError) for refusal in refusals]
            raise refusals[-1 if is_absent == [True, False] else 0]
        return entries

    async def _read(self, is_tls: bool) -> list[str]:
        """Return the entries of one kind.  Raises: _NotFoundError if there are none, and why."""
        service = srv.service_of(_SERVICE, self._service_name, is_tls=is_tls)
        try:
            records = await srv.find_records(service, self._domain)
        except NameLookupError as error:
            raise _unresolved(service, str(error)) from error
        entries: list[str] = []
        reason = ""
        for record in records:
            try:
                entries.append(await self._entry(record, service, "https" if is_tls else "http"))
            except (NameLookupError, _NotFoundError) as error:
                reason = str(error)
        if not entries and reason:
            raise _unresolved(service, reason)
        return entries

    async def _entry(self, record: Record, service: str, scheme: str) -> str:
        """Raises: NameLookupError for a target without an address; _NotFoundError."""
        host = record.target.removesuffix(".")
        shown = f"[{host}]" if ":" in host else host
        own = self._own.get(await _address_of(record.target, record.port))
        url = f"{scheme}://{shown}:{record.port}"
        if own is None:
            return f"{next(self._numbers)}={url}"
        if parse_url(own).scheme != scheme:
            raise _NotFoundError(
                f"bootstrap at {url} from DNS for {service} has scheme mismatch with expected"
                f" peer {own}"
            )
        return f"{self._name}={url}"


def _unresolved(service: str, reason: str) -> _NotFoundError:
    return _NotFoundError(f"error querying DNS SRV records for _{service} {reason}")


async def _address_of(host: str, port: int | str) -> str:
    """Return the first address of a host, with the port.  Raises: NameLookupError."""
    addresses = await srv.find_addresses(host)
    return f"{addresses[0]} {port}"
