"""How many connections to members there may be."""

import asyncio
import contextlib

from etcdpy.proxy.upstream import (
    CrowdedError,
    Timeouts,
    Upstream,
    UpstreamConnection,
    UpstreamError,
)
from etcdpy.tls.contexts import ClientTls
from tests.proxy.serving import dead_url, url_of

BOUND = 2


def test_connections_that_are_being_dialled_count() -> None:
    async def test() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1")
        url = url_of(server.sockets[0].getsockname()[1])
        upstream = Upstream(ClientTls(), Timeouts(), BOUND)
        dials = [upstream.connect(url, is_fresh=True) for _ in range(50)]
        results = await asyncio.gather(*dials, return_exceptions=True)
        assert sum(isinstance(result, UpstreamConnection) for result in results) == BOUND
        assert sum(isinstance(result, CrowdedError) for result in results) == 50 - BOUND
        upstream.close()
        server.close()

    asyncio.run(test())


def test_a_vain_dial_counts_no_more_when_it_is_over() -> None:
    async def test() -> None:
        upstream = Upstream(ClientTls(), Timeouts(), BOUND)
        for _ in range(2 * BOUND):
            with contextlib.suppress(UpstreamError):
                await upstream.connect(dead_url())
        assert upstream.open_count == 0

    asyncio.run(test())
