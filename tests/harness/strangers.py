"""Messages that are well-formed, and that nobody honest sends."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from etcdpy.consensus.codec import PLACE_MAX
from etcdpy.consensus.messages import (
    ConfState,
    Entry,
    EntryKind,
    Message,
    MessageKind,
    SnapshotMeta,
)


@dataclass
class Stranger:
    """Who is no member and speaks to one; what it says is drawn from `source`."""

    source: random.Random
    sender: int
    to: int
    conf: ConfState
    datas: Sequence[bytes] = (b"x",)  # of the entries that it sends

    def say(self, kind: MessageKind, term: int, index: int) -> Message:
        """Return a message that the codec takes, around where a log ends or beyond all."""
        source = self.source
        said = Message(
            kind,
            self.to,
            self.sender,
            max(1, self._near(term)),
            index=self._near(index),
            log_term=self._near(term),
            commit=self._near(index),
            is_rejected=source.random() < 0.5,
            hint=source.choice((0, 1, index, 2**64 - 1)),
            context=source.choice((0, 1, source.randrange(2**64))),
        )
        if kind is MessageKind.APPEND:
            return self._with_run(said)
        if kind is MessageKind.PROPOSE:
            entries = [Entry(0, 0, EntryKind.NORMAL, data) for data in self.datas]
            return said._replace(entries=entries)
        if kind is MessageKind.SNAPSHOT:
            snapshot_term = max(1, min(said.term, self._near(term)))
            meta = SnapshotMeta(max(1, said.index), snapshot_term, self.conf)
            return said._replace(snapshot=meta)
        return said

    def _with_run(self, said: Message) -> Message:
        """Return an append whose entries follow on each other, which is all that a codec sees."""
        log_term = min(said.log_term, said.term)
        index = min(said.index, PLACE_MAX - 10)
        entries = []
        term = max(1, log_term)
        for position in range(1, self.source.randrange(1, 5)):
            term = self.source.choice((term, said.term))
            data = self.source.choice(self.datas)
            entries.append(Entry(term, index + position, EntryKind.NORMAL, data))
        return said._replace(index=index, log_term=log_term, entries=entries)

    def _near(self, number: int) -> int:
        """Return a number around another one, or far from it."""
        far = self.source.choice((0, 1, number + 2**32, PLACE_MAX))
        drawn = self.source.choice((number + self.source.randrange(-2, 3), far))
        return max(0, min(PLACE_MAX, drawn))
