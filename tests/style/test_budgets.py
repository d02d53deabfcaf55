"""Each suite has its share of the ten minutes that all checks and tests together may take."""

from tests.conftest import BUDGETS_S, TEST_BUDGET_S, TESTS

#: Folders of `tests` that are not run by `make test`.
APART = {"acceptance"}


def test_every_suite_has_a_budget() -> None:
    suites = {path.parent.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")}
    assert {*suites, "top"} == set(BUDGETS_S)


def test_the_budgets_fit_into_what_all_may_take() -> None:
    shares = {suite: s for suite, s in BUDGETS_S.items() if suite not in APART}
    assert sum(shares.values()) <= TEST_BUDGET_S
    assert TEST_BUDGET_S < 600
