"""Values are read from text as Go's `flag` reads them, and from YAML without coercion."""

import pytest

from etcdpy.errors import ConfigError
from etcdpy.settings.kinds import (
    BOOLEAN,
    CLUSTER_STATE,
    NUMBER,
    NUMBER64,
    TEXT,
    Setting,
    check_yaml_type,
    parse_bool,
    parse_duration_ns,
    parse_number,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("10", 10),
        ("0x10", 16),
        ("0b101", 5),
        ("0o17", 15),
        ("017", 15),
        ("0_7", 7),
        ("00", 0),
        ("1_000", 1000),
        ("18446744073709551615", 2**64 - 1),
    ],
)
def test_numbers_are_gos(text: str, value: int) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize("text", ["", "abc", "-1", "+1", "1.5", "09", "1__0", "_1", " 1", "٣"])
def test_what_is_no_number_is_a_parse_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"^parse error$"):
        parse_number(text)


def test_a_number_of_more_than_64_bits_is_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"^value out of range$"):
        parse_number("18446744073709551616")


def test_booleans_are_gos() -> None:
    assert [parse_bool(text) for text in ("1", "t", "T", "true", "True", "TRUE")] == [True] * 6
    assert [parse_bool(text) for text in ("0", "f", "F", "false", "False", "FALSE")] == [False] * 6
    with pytest.raises(ValueError, match="parse error"):
        parse_bool("yes")


def test_a_choice_takes_its_words_only() -> None:
    assert CLUSTER_STATE.parse("existing") == "existing"
    with pytest.raises(ValueError, match=r"^invalid value$"):
        CLUSTER_STATE.parse("Existing")


def test_the_variable_is_the_flag_in_capitals() -> None:
    assert Setting("initial-cluster-state", TEXT, "", "").env == "ETCD_INITIAL_CLUSTER_STATE"


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        (TEXT, 5, "number"),
        (TEXT, True, "bool"),
        (TEXT, ["a"], "array"),
        (TEXT, {"a": "b"}, "object"),
        (TEXT, 1.5, "number"),
        (BOOLEAN, "yes", "string"),
        (BOOLEAN, 1, "number"),
        (NUMBER, "5", "string"),
        (NUMBER, True, "bool"),
        (NUMBER, -1, "number -1"),
        (NUMBER64, 1.5, "number 1.5"),
        (NUMBER64, 2**64, "number 18446744073709551616"),
    ],
)
def test_a_yaml_value_of_another_type_is_refused(kind: object, value: object, found: str) -> None:
    assert isinstance(kind, type(TEXT))
    with pytest.raises(ConfigError) as refused:
        check_yaml_type(Setting("some-flag", kind, "", ""), value)
    assert str(refused.value) == (
        "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal"
        f" {found} into Go struct field configYAML.some-flag of type {kind.yaml_type}"
    )


def test_a_yaml_float_without_a_fraction_is_a_number() -> None:
    assert check_yaml_type(Setting("n", NUMBER, "", ""), 1000.0) == 1000


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("1ns", 1),
        ("1.5h30m", 7_200_000_000_000),
        ("+2us3\u00b5s4\u03bcs", 9_000),
        (".5s", 500_000_000),
        ("5.s", 5_000_000_000),
        ("-1m", -60_000_000_000),
        ("2562047h47m16.854775807s", 2**63 - 1),
    ],
)
def test_durations_are_gos(text: str, nanoseconds: int) -> None:
    assert parse_duration_ns(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "invalid duration {}"),
        ("-", "invalid duration {}"),
        ("abc", "invalid duration {}"),
        (".s", "invalid duration {}"),
        ("1s ", 'unknown unit "s " in duration {}'),
        ("90", "missing unit in duration {}"),
        ("1m30", "missing unit in duration {}"),
        ("5x", 'unknown unit "x" in duration {}'),
        ("1.5.h", "missing unit in duration {}"),
        ("2562048h", "invalid duration {}"),
    ],
)
def test_what_is_no_duration_is_said_in_gos_words(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^time: ") as refused:
        parse_duration_ns(text)
    assert str(refused.value) == f"time: {reason}".format(f'"{text}"')
