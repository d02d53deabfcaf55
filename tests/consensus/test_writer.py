"""When the loop writes to the log by itself."""

from etcdpy.consensus.writer import Pace

MAX_S = 0.001


def quick() -> Pace:
    """Return a pace that has seen quick writes only."""
    pace = Pace(MAX_S)
    for _ in range(8):
        pace.wrote(MAX_S / 10)
    return pace


def test_the_thread_writes_until_the_disk_is_known_to_be_quick() -> None:
    pace = Pace(MAX_S)
    assert not pace.is_quick
    pace.wrote(MAX_S / 10)
    assert not pace.is_quick
    assert quick().is_quick


def test_after_a_slow_write_the_thread_writes_until_it_is_far_enough_back() -> None:
    pace = quick()
    pace.wrote(10 * MAX_S)
    count = 0
    while not pace.is_quick:
        pace.wrote(MAX_S / 10)
        count += 1
    assert count == 22  # 0.9 ** 22 is below a tenth


def test_a_slow_disk_is_never_for_the_loop() -> None:
    pace = quick()
    for _ in range(100):
        pace.wrote(2 * MAX_S)
        assert not pace.is_quick


def test_the_loop_writes_only_while_it_is_idle_a_part_of_the_time() -> None:
    pace = quick()
    assert pace.has_time(10.0, 1.0)
    assert not pace.has_time(10.1, 1.095)  # 95 of 100 ms
    assert not pace.has_time(10.11, 1.095)  # too soon to know better
    assert pace.has_time(10.2, 1.175)  # 80 of 100 ms
    assert pace.has_time(10.21, 1.185)


def test_with_a_limit_of_nothing_the_loop_never_writes() -> None:
    pace = Pace(0.0)
    pace.wrote(0.0)
    assert not pace.is_quick
