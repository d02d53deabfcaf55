"""The times of a client's connection, with a transport that only notes what is asked of it."""

import asyncio

from etcdpy.http.acceptor import PLAIN
from etcdpy.http.heads import HeadReader
from etcdpy.http.limits import Limit, Limits, Reached
from etcdpy.http.wire import Response
from etcdpy.proxy.downstream import Downstream, Service
from tests.harness.virtual_time import run_virtual

OPTIONS = b"OPTIONS /a HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"OPTIONS /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class NotingTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.protocol: Downstream
        self.written = b""
        self.left_bytes = 0
        self.is_eof_written = False
        self.is_aborted = False

    def get_write_buffer_size(self) -> int:
        return self.left_bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self.left_bytes:
            self.protocol.pause_writing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_eof_written = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True
        self.protocol.connection_lost(None)


def connect(reached: Reached) -> NotingTransport:
    service = Service(
        lambda exchange: exchange.respond(Response(200)),
        lambda: b"Date: now\r\n",
        lambda _: None,
        lambda _: None,
        Limits(head_s=60.0, send_s=600.0),
        reached,
    )
    transport = NotingTransport()
    transport.protocol = Downstream(service, PLAIN, HeadReader(is_muxed=False))
    transport.protocol.connection_made(transport)
    return transport


def test_each_head_has_its_whole_time() -> None:
    async def main() -> None:
        reached = Reached()
        transport = connect(reached)
        transport.protocol.data_received(OPTIONS[:9])
        for _ in range(3):
            await asyncio.sleep(59)
            transport.protocol.data_received(OPTIONS[9:] + OPTIONS[:9])
        assert transport.written.count(b"HTTP/1.1 200 OK") == 3
        await asyncio.sleep(59)
        assert not transport.is_aborted
        transport.protocol.data_received(OPTIONS[9:10])  # some of it does not give it more
        await asyncio.sleep(2)
        assert transport.is_aborted
        assert reached == {Limit.HEAD_TIMEOUT: 1}

    run_virtual(main)


def test_a_head_that_is_not_read_on_has_its_time_when_it_is() -> None:
    async def main() -> None:
        reached = Reached()
        transport = connect(reached)
        transport.protocol.data_received(OPTIONS[:9])
        transport.protocol.pause_writing()
        await asyncio.sleep(50)
        transport.protocol.data_received(OPTIONS[9:] + OPTIONS[:9])
        await asyncio.sleep(500)
        assert not transport.is_aborted
        transport.protocol.resume_writing()
        assert transport.written.count(b"HTTP/1.1 200 OK") == 1
        await asyncio.sleep(59)
        assert not transport.is_aborted
        await asyncio.sleep(2)
        assert transport.is_aborted
        assert reached == {Limit.HEAD_TIMEOUT: 1}

    run_virtual(main)


def test_a_client_lingers_from_when_the_last_byte_has_left() -> None:
    async def main() -> None:
        transport = connect(Reached())
        transport.left_bytes = 9
        transport.protocol.data_received(LAST)
        assert transport.is_eof_written
        await asyncio.sleep(100)
        assert not transport.is_aborted
        transport.left_bytes = 0
        transport.protocol.resume_writing()
        await asyncio.sleep(0.4)
        assert not transport.is_aborted
        await asyncio.sleep(0.2)
        assert transport.is_aborted

    run_virtual(main)


def test_who_does_not_read_its_last_answer_is_cut_off() -> None:
    async def main() -> None:
        reached = Reached()
        transport = connect(reached)
        transport.left_bytes = 9
        transport.protocol.data_received(LAST)
        await asyncio.sleep(601)
        assert transport.is_aborted
        assert reached == {Limit.SEND_TIMEOUT: 1}

    run_virtual(main)
