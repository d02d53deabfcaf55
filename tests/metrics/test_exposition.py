"""The text that Prometheus reads, judged by its own parser.

Source: the text format 0.0.4 of Prometheus; spec/observability.md section 4.
"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from etcdpy.metrics.exposition import Buckets, Exposition, Family, Histogram, Kind, render_number

COUNTER = Family("c_total", Kind.COUNTER, "Counted.")
BARE_COUNTER = Family("c_success", Kind.COUNTER, 'Counted "well"\\.\nTwice.')
GAUGE = Family("g", Kind.GAUGE, "Measured.", ("To", "From"))
HISTOGRAM = Family("h_seconds", Kind.HISTOGRAM, "Taken.", ("method",), Buckets(0.001, 3))
HIDDEN = Family("x", Kind.GAUGE, "For few.", is_extensive=True)
FAMILIES = {family.name: family for family in (COUNTER, BARE_COUNTER, GAUGE, HISTOGRAM, HIDDEN)}


def test_families_come_sorted_each_with_its_help_and_type() -> None:
    text = Exposition(FAMILIES)
    text.put("g", 1.5, "b", "a")
    text.put("c_total", 2)
    text.put("g", 2, "c", "a")
    assert text.render() == (
        b"# HELP c_total Counted.\n# TYPE c_total counter\nc_total 2\n"
        b"# HELP g Measured.\n# TYPE g gauge\n"
        b'g{To="b",From="a"} 1.5\ng{To="c",From="a"} 2\n'
    )


def test_a_histogram_has_cumulative_buckets_up_to_infinity() -> None:
    text = Exposition(FAMILIES)
    text.put_histogram("h_seconds", [3, 0, 2, 1], 0.25, "PUT")
    assert text.render().splitlines()[2:] == [
        b'h_seconds_bucket{method="PUT",le="0.001"} 3',
        b'h_seconds_bucket{method="PUT",le="0.002"} 3',
        b'h_seconds_bucket{method="PUT",le="0.004"} 5',
        b'h_seconds_bucket{method="PUT",le="+Inf"} 6',
        b'h_seconds_sum{method="PUT"} 0.25',
        b'h_seconds_count{method="PUT"} 6',
    ]


def test_a_family_without_a_value_is_not_shown() -> None:
    assert Exposition(FAMILIES).render() == b""


def test_what_is_for_few_is_shown_to_who_asks_for_it() -> None:
    for is_extensive in (False, True):
        text = Exposition(FAMILIES, is_extensive=is_extensive)
        text.put("x", 1)
        assert (b"x 1\n" in text.render()) == is_extensive


@pytest.mark.parametrize(("name", "labels"), [("nope", ()), ("g", ("only one",))])
def test_what_is_not_in_the_list_is_an_error(name: str, labels: tuple[str, ...]) -> None:
    with pytest.raises((KeyError, ValueError)):
        Exposition(FAMILIES).put(name, 1, *labels)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (2**64 - 1, "18446744073709551615"), (3.0, "3"), (0.1, "0.1"), (1e-7, "1e-07")],
)
def test_whole_numbers_have_no_point(value: float, shown: str) -> None:
    assert render_number(value) == shown


@given(
    value=st.floats(allow_nan=False, allow_infinity=False),
    label=st.text(st.characters(codec="utf-8"), max_size=20),
)
def test_any_value_and_label_is_read_back(value: float, label: str) -> None:
    text = Exposition(FAMILIES)
    text.put("g", value, label, "")
    text.put("c_success", 7)
    counter, gauge = text_string_to_metric_families(text.render().decode())
    assert (counter.type, counter.documentation) == ("counter", 'Counted "well"\\.\nTwice.')
    assert gauge.samples[0].labels == {"To": label, "From": ""}
    assert math.isclose(gauge.samples[0].value, value)


@given(st.lists(st.integers(min_value=-10, max_value=10_000_000), max_size=50))
def test_an_observation_falls_into_the_first_bucket_that_holds_it(values: list[int]) -> None:
    histogram = Histogram.of_durations(Buckets(0.0005, 5))
    for value in values:
        histogram.observe(value)
    bounds_ns = [500_000 * 2**power for power in range(5)]
    below = [sum(value <= bound for value in values) for bound in bounds_ns]
    cumulated = [sum(histogram.counts[: place + 1]) for place in range(5)]
    assert cumulated == below
    assert sum(histogram.counts) == len(values)
    assert histogram.total == sum(max(value, 0) for value in values)
