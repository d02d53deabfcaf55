"""Large listings on the wire: a picture of the tree, rendered and sent a millisecond at a time.

A file of its own because it is about sharing: whoever asks for a million nodes takes seconds of the
loop, and all who do so at once together take no more than one slice of each of its turns.  What
waits for a slow client is a connection's usual buffer; what it has not been sent yet is not
rendered.
Source: spec/keys.md section 8.
"""

import asyncio
import logging
import time
from collections.abc import Iterator

from etcdpy.http import wire
from etcdpy.http.backend import Backend
from etcdpy.http.connection import Connection
from etcdpy.http.events import render_rows
from etcdpy.http.keys import KeysRenderer
from etcdpy.http.wire import Framing, Response
from etcdpy.tree.picture import Picture

log = logging.getLogger("etcdpy.http.listing")

#: How long the loop is kept from others at a time, how many bytes may gather in that time, and how
#: many pieces are rendered between two looks at the clock.
SLICE_S = 0.001
SLICE_BYTES = 64 * 1024
PIECES_PER_LOOK = 32


class ListingSender:
    """Sends the large listings of one server, each in a task of its own."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()  # whose slice it is; first come, first served

    async def serve(
        self,
        picture: Picture,
        backend: Backend,
        renderer: KeysRenderer,
        connection: Connection,
        framing: Framing,
    ) -> bool:
        """Answer with what `picture` shows, and close it.

        Returns whether another request may follow.
        """
        headers = renderer.head_lines(picture.index, backend.raft_status())
        try:
            if framing.is_head:
                response = Response(
                    200, headers, is_length_hidden=True, is_closing=framing.is_http10
                )
                return connection.respond(response, framing)
            framing = connection.settle(framing)
            connection.send(connection.stream_head(headers, framing))
            is_whole = await self._send_body(picture, connection, not framing.is_http10)
        finally:
            picture.close()
        if not is_whole:
            connection.cut()
        is_kept = is_whole and framing.is_keep_alive and not framing.is_http10
        return connection.answered(is_kept=is_kept)

    async def _send_body(self, picture: Picture, connection: Connection, is_chunked: bool) -> bool:
        """Send the body; tells whether it is whole."""
        pieces = render_rows(picture.rows())
        is_last = False
        while not is_last:
            async with self._turn:
                data, is_last = _take_slice(pieces)
                if picture.is_void:
                    log.warning("gave up a listing: its client reads more slowly than keys change")
                    return False
                if data:
                    connection.send(wire.chunk(data) if is_chunked else data)
                await asyncio.sleep(0)  # the others' part of this turn of the loop
            await connection.drain()
            if not connection.is_open:
                return False
        if is_chunked:
            connection.send(wire.LAST_CHUNK)
        return True


def _take_slice(pieces: Iterator[bytes]) -> tuple[bytes, bool]:
    """Return what can be rendered in the time of a slice, and whether that was the last of it."""
    due_s = time.perf_counter() + SLICE_S
    parts: list[bytes] = []
    size = 0
    for count, piece in enumerate(pieces, 1):
        parts.append(piece)
        size += len(piece)
        if size >= SLICE_BYTES:
            return b"".join(parts), False
        if (not piece or count % PIECES_PER_LOOK == 0) and time.perf_counter() >= due_s:
            return b"".join(parts), False
    return b"".join(parts), True
