"""What name servers say of a service: its SRV records, and the addresses of hosts.

A file of its own, and a leaf, because both a member that founds a cluster and a gateway that
stands before one find it so.  The records are asked for by dnspython, since the standard library
has no way to them: it is pure Python, follows `/etc/resolv.conf` and goes to TCP where a datagram
does not do; aiodns would bring a compiled resolver with rules of its own.  Hosts are left to the
system, whose `/etc/hosts` counts too.  Refusals are in the words of Go's resolver.
Source: spec/cluster.md sections 4.2 and 10; RFC 2782.
"""

import asyncio
import ipaddress
import random
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dns.exception
import dns.resolver
from dns.asyncresolver import Resolver

#: For how long one name may be asked for, over all servers and tries.
LOOKUP_S = 10.0
#: Whom Go asks where `/etc/resolv.conf` names nobody.
DEFAULT_SERVER = "127.0.0.1"
DNS_PORT = 53

_NO_SUCH_HOST = "no such host"
_ABSENT = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class NameLookupError(Exception):
    """A name has no answer; the text is Go's."""


@dataclass(frozen=True, slots=True)
class Record:
    """One SRV record; the target is fully qualified, with its last dot."""

    target: str
    port: int
    priority: int = 0
    weight: int = 0


def service_of(base: str, name: str, *, is_tls: bool) -> str:
    """Return the service of a kind of URL: `base`, `-ssl`, and `-name` where there is one."""
    return base + ("-ssl" if is_tls else "") + (f"-{name}" if name else "")


async def find_records(service: str, domain: str) -> list[Record]:
    """Return the records of `_service._tcp.domain`, in the order in which to try them.

    Raises: NameLookupError.
    """
    name = f"_{service}._tcp.{domain}"
    resolver = _system_resolver()
    resolver.lifetime = LOOKUP_S
    try:
        answer = await resolver.resolve(name, "SRV", search=True)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer) as error:
        raise _refusal(name, resolver, _NO_SUCH_HOST) from error
    except dns.exception.Timeout as error:
        raise _refusal(name, resolver, "i/o timeout") from error
    except dns.resolver.NoNameservers as error:
        raise _refusal(name, resolver, "server misbehaving") from error
    except (dns.exception.DNSException, OSError, UnicodeError) as error:
        raise _refusal(name, resolver, str(error) or type(error).__name__) from error
    found = [Record(r.target.to_text(), r.port, r.priority, r.weight) for r in answer]
    return order_records(found, random.Random())


def order_records(records: Iterable[Record], chance: random.Random) -> list[Record]:
    """Return records by priority, and at random by weight among those of one priority."""
    left = sorted(records, key=lambda record: (record.priority, record.weight))
    ordered: list[Record] = []
    while left:
        group = [record for record in left if record.priority == left[0].priority]
        chosen = _draw(group, chance)
        left.remove(chosen)
        ordered.append(chosen)
    return ordered


def _draw(group: Sequence[Record], chance: random.Random) -> Record:
    """Return one of a group; those without a weight only when no other is left."""
    total = sum(record.weight for record in group)
    drawn = chance.randrange(total) if total else -1
    for record in group:
        drawn -= record.weight
        if drawn < 0:
            return record
    raise AssertionError("more was drawn than there is")


async def find_addresses(host: str) -> list[str]:
    """Return the addresses of a host as the system knows them, IPv4 first.

    Raises: NameLookupError.
    """
    if _is_address(host):
        return [host]
    if not host:
        raise _refusal(host, _system_resolver(), _NO_SUCH_HOST)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOKUP_S):
            # `/etc/hosts` has no names with a last dot.
            name = host.removesuffix(".")
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise _refusal(host, _system_resolver(), "i/o timeout") from error
    except socket.gaierror as error:
        reason = _NO_SUCH_HOST if error.errno in _ABSENT else "server misbehaving"
        raise _refusal(host, _system_resolver(), reason) from error
    except (OSError, UnicodeError) as error:
        raise _refusal(host, _system_resolver(), _NO_SUCH_HOST) from error
    addresses = dict.fromkeys(str(address[4][0]) for address in found)
    return sorted(addresses, key=lambda address: ":" in address)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _system_resolver() -> Resolver:
    """Return a resolver as the system's settings have it, read anew each time."""
    try:
        return Resolver()
    except dns.exception.DNSException:  # no file, or no server in it
        resolver = Resolver(configure=False)
        resolver.nameservers = [DEFAULT_SERVER]
        return resolver


def _refusal(name: str, resolver: Resolver, reason: str) -> NameLookupError:
    server = str(resolver.nameservers[-1]) if resolver.nameservers else DEFAULT_SERVER
    shown = f"[{server}]:{DNS_PORT}" if ":" in server else f"{server}:{DNS_PORT}"
    return NameLookupError(f"lookup {name} on {shown}: {reason}")
