"""From the words of a command line to endpoints, and from an address to a listener.

A file of its own because all refusals of a start are here, in etcd's order and words, some of them
on stdout as etcd has it.  Endpoints that a domain names are used if they are proven: they speak
TLS, with a certificate for that domain.
Source: spec/cluster.md section 10.
"""

import asyncio
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from etcdpy import logs, srv
from etcdpy.dialing import describe_dial
from etcdpy.errors import ConfigError
from etcdpy.http.acceptor import Listener
from etcdpy.srv import NameLookupError, Record
from etcdpy.startup.listeners import PORT_MAX, listen_tcp
from etcdpy.tls.contexts import ClientTls, TlsError, TlsSettings, describe_refusal
from etcdpy.urls import HostPort, UrlError, go_quote, split_host_port, split_url

log = logging.getLogger("etcdpy.etcdmain")

#: How long one endpoint may take to prove itself; etcd's number.
PROOF_S = 5.0
_SERVICE = "etcd-client"


class StartError(ConfigError):
    """Why a gateway does not start; etcd says some on stdout, and one without a line's end."""

    def __init__(self, text: str, *, is_on_stdout: bool = True, end: str = "\n") -> None:
        super().__init__(text)
        self.is_on_stdout = is_on_stdout
        self.end = end


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says."""

    listen_addr: str = "127.0.0.1:23790"
    endpoints: tuple[str, ...] = ("127.0.0.1:2379",)
    discovery_srv: str = ""
    discovery_srv_name: str = ""
    insecure_discovery: bool = False
    trusted_ca_file: str = ""
    retry_delay_s: float = 60.0


async def find_endpoints(settings: Settings) -> tuple[list[Record], Listener]:
    """Return where to pass connections on, and where they come in.

    Raises: StartError.
    """
    records = await _discover(settings) if settings.discovery_srv else []
    records = records or [_parse_endpoint(text) for text in settings.endpoints]
    try:
        listen = split_host_port(settings.listen_addr)
    except ValueError as error:
        text = f"failed to validate listen address: {settings.listen_addr}"
        raise StartError(text) from error
    own = await _resolve(listen.host, "listen")
    for record in records:
        await _refuse_loop(record, listen, own, settings.listen_addr)
    if not records:
        raise StartError("no endpoints found")
    return records, _open_listener(listen, own)


def _parse_endpoint(text: str) -> Record:
    """Return an endpoint, whose scheme is of no account.  Raises: StartError."""
    try:
        url, _ = split_url(text)
        host_port = url.host or text
    except UrlError:
        host_port = text
    try:
        host, port = split_host_port(host_port)
        if not port.isascii() or not port.isdigit() or not 0 < int(port) <= PORT_MAX:
            raise ValueError(f"no port: {port}")
    except ValueError as error:
        raise StartError(f"error parsing endpoint {go_quote(host_port)}", end="") from error
    return Record(host, int(port))


async def _resolve(host: str, what: str) -> list[str]:
    try:
        return await srv.find_addresses(host)
    except NameLookupError as error:
        raise StartError(f"failed to resolve {what} host: {host}") from error


async def _refuse_loop(record: Record, listen: HostPort, own: Sequence[str], shown: str) -> None:
    """Refuse an endpoint that is this gateway itself.  Raises: StartError."""
    addresses = await _resolve(record.target, "endpoint")
    if str(record.port) != listen.port:
        return
    for address in addresses:
        if address in own:
            raise StartError(
                f"SRV or endpoint ({record.target}:{record.port}->{address}:{record.port})"
                f" should not resolve to the gateway listen addr ({shown})"
            )


def _open_listener(listen: HostPort, own: Sequence[str]) -> Listener:
    """Raises: StartError."""
    if not listen.port.isascii() or not listen.port.isdigit():
        try:
            port = socket.getservbyname(listen.port, "tcp") if listen.port else 0
        except OSError as error:
            text = f"listen tcp: address tcp/{listen.port}: unknown port"
            raise StartError(text, is_on_stdout=False) from error
    else:
        port = int(listen.port)
    host = f"[{own[0]}]" if ":" in own[0] else own[0]
    try:
        return Listener(listen_tcp(f"{host}:{port}"))
    except ConfigError as error:
        raise StartError(str(error), is_on_stdout=False) from error


# Domains


async def _discover(settings: Settings) -> list[Record]:
    """Return the endpoints that a domain names, and of which nothing speaks against their use.

    Raises: StartError if it has no records at all.
    """
    domain = settings.discovery_srv
    found = await _find_urls(domain, settings.discovery_srv_name)
    fields: dict[str, Any] = {"srv_server": domain, "endpoints": [*found]}
    log.info("discovered cluster from SRV", extra=logs.fields(**fields))
    if settings.insecure_discovery:
        return [*found.values()]
    log.info("validating discovered SRV endpoints", extra=logs.fields(**fields))
    try:
        tls = ClientTls(TlsSettings(trusted_ca_file=settings.trusted_ca_file, server_name=domain))
        tls.check()
        doubts = await asyncio.gather(*(_find_doubt(url, r, tls) for url, r in found.items()))
    except TlsError as error:
        doubts = [str(error)] * len(found)
    proven = {url: found[url] for url, doubt in zip(found, doubts, strict=True) if not doubt}
    fields = {"srv_server": domain, "endpoints": [*proven]}
    reasons = ",".join(dict.fromkeys(filter(None, doubts)))
    if reasons:
        extra = logs.fields(**fields, error=reasons)
        log.warning("failed to validate discovered endpoints", extra=extra)
    else:
        log.info("using validated discovered SRV endpoints", extra=logs.fields(**fields))
    return [*proven.values()]


async def _find_urls(domain: str, service_name: str) -> dict[str, Record]:
    """Return records by the URL that each stands for.  Raises: StartError."""
    found: dict[str, Record] = {}
    refusals = []
    for is_tls in (True, False):
        service = srv.service_of(_SERVICE, service_name, is_tls=is_tls)
        scheme = "https" if is_tls else "http"
        try:
            for record in await srv.find_records(service, domain):
                found[f"{scheme}://{record.target}:{record.port}"] = record
        except NameLookupError as error:
            refusals.append(str(error))
    if len(refusals) == 2:
        text = f"dns lookup errors: {refusals[0]} and {refusals[1]}"
        raise StartError(text, is_on_stdout=False)
    return found


async def _find_doubt(url: str, record: Record, tls: ClientTls) -> str:
    """Return why an endpoint should not be used, nothing if it has proven who it is."""
    if not url.startswith("https://"):
        return f"{go_quote(url)} is insecure"
    loop = asyncio.get_running_loop()
    host = record.target.removesuffix(".")
    try:
        async with asyncio.timeout(PROOF_S):
            transport, _ = await loop.create_connection(
                asyncio.Protocol,
                host,
                record.port,
                ssl=tls.context(),
                server_hostname=tls.server_name,
            )
    except OSError as error:
        address = f"{record.target}:{record.port}"
        words = describe_dial(address, error) if error.errno else describe_refusal(error)
        return f"{go_quote(url)} failed to dial ({words})"
    transport.abort()
    return ""
