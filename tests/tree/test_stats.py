"""The counters' names and order: spec/observability.md section 3.3."""

from etcdpy.tree.stats import STAT_NAMES, Stats


def test_json_has_the_names_in_the_recorded_order() -> None:
    recorded = (
        "getsSuccess, getsFail, setsSuccess, setsFail, deleteSuccess, deleteFail, updateSuccess, "
        "updateFail, createSuccess, createFail, compareAndSwapSuccess, compareAndSwapFail, "
        "compareAndDeleteSuccess, compareAndDeleteFail, expireCount, watchers"
    )
    assert list(Stats().as_json(0)) == recorded.split(", ")


def test_each_counter_has_its_own_name() -> None:
    stats = Stats(*range(len(STAT_NAMES)))
    assert stats.delete_fail == 5
    assert stats.as_json(99) == {
        **{name: number for number, name in enumerate(STAT_NAMES)},
        "watchers": 99,
    }
    assert Stats(*stats.counts()) == stats
