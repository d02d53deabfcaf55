"""Operation counters of the tree, which `/v2/stats/store` shows.

They count what this member did and are outside the digest.  Some refusals count as successes, as
they do in etcd: spec/keys.md section 20 lists them; the operations in `tree` decide.
"""

from dataclasses import dataclass, fields
from operator import attrgetter

# The API's names, in the order of the fields below.
STAT_NAMES = (
    "getsSuccess",
    "getsFail",
    "setsSuccess",
    "setsFail",
    "deleteSuccess",
    "deleteFail",
    "updateSuccess",
    "updateFail",
    "createSuccess",
    "createFail",
    "compareAndSwapSuccess",
    "compareAndSwapFail",
    "compareAndDeleteSuccess",
    "compareAndDeleteFail",
    "expireCount",
)


@dataclass(slots=True)
class Stats:
    """The counters; they only grow."""

    gets_success: int = 0
    gets_fail: int = 0
    sets_success: int = 0
    sets_fail: int = 0
    delete_success: int = 0
    delete_fail: int = 0
    update_success: int = 0
    update_fail: int = 0
    create_success: int = 0
    create_fail: int = 0
    compare_and_swap_success: int = 0
    compare_and_swap_fail: int = 0
    compare_and_delete_success: int = 0
    compare_and_delete_fail: int = 0
    expire_count: int = 0

    def counts(self) -> tuple[int, ...]:
        """Return the counters in the order of `STAT_NAMES`."""
        counts: tuple[int, ...] = _all_fields(self)
        return counts

    def as_json(self, watcher_count: int) -> dict[str, int]:
        """Return the object of `/v2/stats/store`, names in the API's order."""
        named = dict(zip(STAT_NAMES, self.counts(), strict=True))
        named["watchers"] = watcher_count
        return named


_all_fields = attrgetter(*(field.name for field in fields(Stats)))
