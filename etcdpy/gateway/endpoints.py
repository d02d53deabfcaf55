"""Endpoints: which one gets the next connection.

A file of its own because it is arithmetic: no clock, no socket, and chance comes from outside.
Of those that are active, the ones of the least priority count; among these weights say how often
each is taken, and those without a weight take turns.
Source: spec/cluster.md section 10; RFC 2782.
"""

import random
from collections.abc import Iterable, Sequence

from etcdpy.srv import Record

#: One in so many connections goes to a record of weight 0 that stands beside weighted ones.
UNWEIGHTED_SHARE = 100


class Endpoint:
    """Where a member listens.  It is inactive from a vain dial until it was reached again."""

    __slots__ = ("is_active", "record")

    def __init__(self, record: Record) -> None:
        self.record = record
        self.is_active = True

    @property
    def address(self) -> str:
        """Host and port, as the log shows them."""
        return f"{self.record.target}:{self.record.port}"

    @property
    def host(self) -> str:
        """The host to dial; the last dot of a full name is not part of it."""
        return self.record.target.removesuffix(".")


class Endpoints:
    """All endpoints, in the order in which they were given."""

    def __init__(self, records: Iterable[Record], chance: random.Random) -> None:
        self.all = tuple(map(Endpoint, records))
        self._chance = chance
        self._turns_count = 0

    def inactive(self) -> list[Endpoint]:
        """Return those that are not used now."""
        return [endpoint for endpoint in self.all if not endpoint.is_active]

    def pick(self) -> Endpoint | None:
        """Return the one for the next connection, None while there is none."""
        active = [endpoint for endpoint in self.all if endpoint.is_active]
        if not active:
            return None
        priority = min(endpoint.record.priority for endpoint in active)
        group = [endpoint for endpoint in active if endpoint.record.priority == priority]
        weighted = [endpoint for endpoint in group if endpoint.record.weight]
        unweighted = [endpoint for endpoint in group if not endpoint.record.weight]
        if not weighted:
            return self._next_in_turn(unweighted)
        if unweighted and self._chance.randrange(UNWEIGHTED_SHARE) == 0:
            return self._next_in_turn(unweighted)
        weights = [endpoint.record.weight for endpoint in weighted]
        return self._chance.choices(weighted, weights)[0]

    def _next_in_turn(self, group: Sequence[Endpoint]) -> Endpoint:
        while True:
            endpoint = self.all[self._turns_count % len(self.all)]
            self._turns_count += 1
            if endpoint in group:
                return endpoint
