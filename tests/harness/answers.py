"""What the accepting side says on a peer stream of etcdpy, taken apart by the members' proxy.

A file of its own because it knows frames, and the proxy otherwise only bytes.  Such a stream
carries messages both ways, so that a member whose words to another are cut could go on by the
connection that the other one has dialled.  Its messages there can be kept back while its answers
to pings pass; the checksums, each of which follows from the last one, are computed anew.
"""

import re

from etcdpy.http.peers.frames import FrameDecoder, FrameEncoder, FrameKind

FRAME_BYTES_MAX = 1 << 27
#: Messages that wait for the end of a cut; what is more is lost.
HELD_BYTES_MAX = 1 << 20

_ACCEPTANCE = re.compile(
    rb"HTTP/1\.1 101 .*\r\nx-etcdpy-stream: *([0-9a-f]+)\r\n", re.IGNORECASE | re.DOTALL
)
_ALL_ONES = 0xFFFFFFFF


class Answers:
    """The bytes from the accepting side of one stream."""

    def __init__(self) -> None:
        self.message_count = 0  # frames of messages that were said so far
        self._head = b""
        self._decoder: FrameDecoder | None = None
        self._encoder = FrameEncoder(0)
        self._is_refusal = False
        self._held: list[bytes] = []
        self._held_bytes = 0

    def take(self, data: bytes, *, is_held: bool = False) -> bytes:
        """Return what of `data` passes now; messages do not while they are held."""
        if self._is_refusal:
            return data
        passing = b""
        if self._decoder is None:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return b""
            passing = head + end
            found = _ACCEPTANCE.match(passing)
            if found is None:
                self._is_refusal = True
                return passing + data
            seed = int(found[1], 16) ^ _ALL_ONES
            self._decoder = FrameDecoder(seed, frozenset(FrameKind), FRAME_BYTES_MAX)
            self._encoder = FrameEncoder(seed)
        for kind, payload in self._decoder.feed(data):
            self.message_count += kind is FrameKind.MESSAGES
            if kind is not FrameKind.MESSAGES or not is_held:
                passing += self._encoder.encode(kind, payload) + payload
            elif self._held_bytes < HELD_BYTES_MAX:
                self._held.append(payload)
                self._held_bytes += len(payload)
        return passing

    def release(self) -> bytes:
        """Return what was held, and hold it no more."""
        held, self._held, self._held_bytes = self._held, [], 0
        return b"".join(
            self._encoder.encode(FrameKind.MESSAGES, payload) + payload for payload in held
        )
