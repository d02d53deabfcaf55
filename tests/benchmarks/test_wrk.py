"""What wrk has counted, put together over rounds."""

import pytest

from benchmarks.wrk import Load, parse, pooled_ms


def test_latencies_are_pooled_over_runs() -> None:
    quick = Load(99, 1_000_000, 2_000, 0, {"348": 99})  # 1.02 ** 348 us are 0.98 ms
    slow = Load(1, 1_000_000, 900_000, 0, {"696": 1})
    assert pooled_ms([quick, slow], 0.5) == pytest.approx(0.98, rel=0.02)
    assert pooled_ms([quick, slow], 0.999) == pytest.approx(969, rel=0.02)
    assert pooled_ms([], 0.5) == 0


def test_the_result_is_found_among_what_else_is_said() -> None:
    figures = '"requests": 8, "duration_us": 2000000, "max_us": 9, "errors": 1, "steps": {"3": 8}'
    load = parse(f"Running 1s test\nRESULT {{{figures}}}\n")
    assert (load.per_s, load.errors, load.steps) == (4.0, 1, {"3": 8})
