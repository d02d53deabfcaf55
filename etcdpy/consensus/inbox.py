"""Inbox: what has arrived for the next batch.

A file of its own because it is plain data between the driver's methods, which fill it at any time,
and the loop's next batch, which takes it whole.
"""

from collections.abc import Sequence

from etcdpy.consensus.messages import ConfChange, Message
from etcdpy.consensus.pump import Batch, SnapshotReport

# One frame's proposals: as many as are applied in one slice, so that applying keeps up.
BATCH_PROPOSALS_MAX = 1_024


class Inbox:
    """Filled field by field, emptied by `take`.  Its bounds are those of who fills it."""

    def __init__(self) -> None:
        self.proposals: list[bytes] = []
        self.proposals_bytes = 0
        self._clear()

    def _clear(self) -> None:
        """Forget all but proposals."""
        self.messages: list[Message] = []
        self.has_ticked = False
        self.ticks_ahead = 0
        self.changes: list[ConfChange] = []
        self.transfer_to = 0
        self.must_campaign = False
        self.unreachable: list[int] = []
        self.snapshot_reports: list[SnapshotReport] = []

    @property
    def is_any(self) -> bool:
        """Whether anything has come."""
        queues = (self.messages, self.proposals, self.changes, self.snapshot_reports)
        others = (self.transfer_to, self.unreachable, self.must_campaign)
        return self.has_ticked or self.ticks_ahead > 0 or any(queues) or any(others)

    def take(self, read_tokens: Sequence[int]) -> Batch:
        """Return all that has come, of proposals as many as one batch may have."""
        proposals = self.proposals
        batch = Batch(
            self.messages,
            int(self.has_ticked) + self.ticks_ahead,
            proposals[:BATCH_PROPOSALS_MAX],
            self.changes,
            read_tokens,
            self.transfer_to,
            self.unreachable,
            self.snapshot_reports,
            self.must_campaign,
        )
        self._clear()
        self.proposals = proposals[BATCH_PROPOSALS_MAX:]
        self.proposals_bytes = sum(map(len, self.proposals))
        return batch
