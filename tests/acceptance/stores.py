"""The ways that a client may have to its key-value store, each with what Patroni is told of it."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.cluster import Cluster
from tests.harness.process import READY_DEADLINE_S, Kind, Member, wait_until
from tests.harness.proxy import Proxy
from tests.harness.secure import Files, SecureMember

#: The user that may do what Patroni has to, and nothing else.
USER, PASSWORD = "patroni", "secret"


@dataclass(frozen=True, slots=True)
class Store:
    """A running store: `etcd` is the section of Patroni's configuration."""

    etcd: Mapping[str, Any]
    members: list[Member]
    cluster: Cluster | None = field(default=None)


def _host(member: Member) -> str:
    return f"127.0.0.1:{member.client_port}"


@contextmanager
def one(kind: Kind, directory: Path) -> Iterator[Store]:
    """One member."""
    with Member(kind, directory / "member") as member:
        member.start()
        yield Store({"host": _host(member)}, [member])


@contextmanager
def three(kind: Kind, directory: Path) -> Iterator[Store]:
    """Three members, all of which the client knows."""
    with Cluster(kind, directory / "cluster", 3) as cluster:
        cluster.start()
        hosts = [_host(member) for member in cluster.members]
        yield Store({"hosts": hosts}, list(cluster.members), cluster)


@contextmanager
def guarded(kind: Kind, directory: Path) -> Iterator[Store]:
    """One member with auth on, where the client may do what it needs and others nothing."""
    with Member(kind, directory / "member") as member:
        member.start()
        _guard(member)
        yield Store({"host": _host(member), "username": USER, "password": PASSWORD}, [member])


def _guard(member: Member) -> None:
    nothing: dict[str, list[str]] = {"read": [], "write": []}
    ours = {"read": ["/service/*"], "write": ["/service/*"]}
    with member.connect() as connection:
        for path, body in (
            ("users/root", {"user": "root", "password": PASSWORD}),
            ("roles/ours", {"role": "ours", "permissions": {"kv": ours}}),
            (f"users/{USER}", {"user": USER, "password": PASSWORD, "roles": ["ours"]}),
            ("roles/guest", {"role": "guest", "permissions": {"kv": nothing}}),
            ("enable", None),
        ):
            answer = connection.request("PUT", f"/v2/auth/{path}", json.dumps(body))
            assert answer.status in (200, 201), answer


@contextmanager
def encrypted(kind: Kind, directory: Path) -> Iterator[Store]:
    """One member with TLS that wants to see its clients' certificates."""
    files = Files.make(directory / "files")
    tls = files.context()
    with SecureMember(kind, directory / "member", *files.flags(), tls=tls) as member:
        member.start()
        etcd = {
            "host": _host(member),
            "protocol": "https",
            "cacert": str(files.authority.path),
            "cert": str(files.client.cert),
            "key": str(files.client.key),
        }
        yield Store(etcd, [member])


@contextmanager
def proxied(kind: Kind, directory: Path) -> Iterator[Store]:
    """One member behind a proxy of its kind."""
    with ExitStack() as stack:
        member = stack.enter_context(Member(kind, directory / "member")).start()
        proxy = stack.enter_context(Proxy(kind, directory / "proxy", [member])).start()
        wait_until(proxy.endpoints_are_known, READY_DEADLINE_S, "the proxy knows its member")
        yield Store({"proxy": proxy.client_url}, [member, proxy])


STORES: dict[str, Callable[[Kind, Path], AbstractContextManager[Store]]] = {
    "one member": one,
    "three members": three,
    "auth": guarded,
    "TLS": encrypted,
    "proxy": proxied,
}
