"""A name server that tests bring along."""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

import pytest


def answer_with(
    monkeypatch: pytest.MonkeyPatch, addresses: Mapping[str, str], *, failures: int = 0
) -> list[str]:
    """Resolve these names and no others, the first `failures` times nothing at all.

    Returns the names that are asked for, as they are.
    """
    asked: list[str] = []

    async def getaddrinfo(self: object, host: str, port: object, **_: object) -> list[Any]:
        asked.append(host)
        if len(asked) <= failures or host not in addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (addresses[host], 0))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked
