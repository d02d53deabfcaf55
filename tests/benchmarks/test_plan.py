"""A run takes about as long as was asked for, and says what it consists of."""

import pytest

from benchmarks.plan import MINUTES, PARTS, Plan, fit, parse, runs_of_wrk, waits_s
from tests.harness.process import Kind


def plan_of(*arguments: str) -> Plan:
    return parse([*arguments, "--server", "etcdpy"])


def test_everything_is_run_unless_parts_are_named() -> None:
    assert plan_of().parts == PARTS
    assert plan_of("--only", "auth", "--only", "values").parts == ("auth", "values")


def test_more_time_is_longer_runs_and_less_time_is_fewer_rounds() -> None:
    usual, longer, shorter = plan_of(), plan_of("--minutes", "60"), plan_of("--minutes", "1")
    assert longer.seconds > usual.seconds
    assert longer.rounds == usual.rounds == 5
    assert (shorter.seconds, shorter.rounds) == (1, 3)
    assert plan_of("--minutes", "1", "--rounds", "7").rounds == 7


def test_a_full_run_of_both_servers_takes_what_is_said() -> None:
    both = Plan(
        **{**{n: getattr(plan_of(), n) for n in Plan.__dataclass_fields__}, "kinds": tuple(Kind)}
    )
    fitted = fit(both, MINUTES * 60, has_rounds=False)
    assert waits_s(fitted) + runs_of_wrk(fitted) * fitted.seconds <= MINUTES * 60
    assert fitted.rounds == 5


def test_seconds_of_each_run_can_be_set() -> None:
    assert plan_of("--seconds", "9").seconds == 9
    assert plan_of("--quick").rounds == 1


def test_a_part_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        plan_of("--only", "nothing")
    assert "nothing" in capsys.readouterr().err
