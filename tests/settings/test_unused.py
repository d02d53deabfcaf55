"""What etcd refuses of flags that do nothing here; the words are compared with it live."""

import pytest

from etcdpy.errors import ConfigError
from etcdpy.settings import sources
from etcdpy.settings.unused import StartRefusedError, check_unused

GOOD = [
    {},
    {"auto-compaction-mode": ""},
    {"auto-compaction-mode": "revision", "auto-compaction-retention": "1h"},
    {"auto-compaction-retention": "+10"},
    {"auto-compaction-retention": ""},
    {"auto-compaction-retention": "-1h30m"},
    {"auth-token": "simple"},
    {"auth-token": ""},
    {"auth-token": "jwt,sign-method=RS256,pub-key=a,priv-key=b,ttl=5m,more=x"},
    {
        "experimental-enable-lease-checkpoint-persist": True,
        "experimental-enable-lease-checkpoint": True,
    },
]


@pytest.mark.parametrize("values", GOOD, ids=repr)
def test_what_etcd_takes_is_taken(values: dict[str, object]) -> None:
    check_unused(values)


@pytest.mark.parametrize("text", ["0", "-0", "1.5h", ".5s", "1h2m3s4ms5us6ns"])
def test_durations_are_gos(text: str) -> None:
    check_unused({"auto-compaction-retention": text})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("-", 'invalid duration "-"'),
        (".s", 'invalid duration ".s"'),
        ("1h2", 'missing unit in duration "1h2"'),
        ("1d", 'unknown unit "d" in duration "1d"'),
        ("x", 'invalid duration "x"'),
        ("9999999999h", 'invalid duration "9999999999h"'),
    ],
)
def test_what_is_no_duration_is_named(text: str, problem: str) -> None:
    with pytest.raises(StartRefusedError) as raised:
        check_unused({"auto-compaction-retention": text})
    assert str(raised.value) == f"error parsing CompactionRetention: time: {problem}"


def test_a_file_is_judged_like_flags(tmp_path: pytest.TempPathFactory) -> None:
    path = f"{tmp_path}/etcd.yml"
    for text, kind in (
        ("auto-compaction-mode: x", ConfigError),
        ("auto-compaction-retention: 1d", StartRefusedError),
        ("auth-token: x", StartRefusedError),
        ("experimental-enable-lease-checkpoint-persist: true", ConfigError),
    ):
        with open(path, "w") as file:
            file.write(text)
        with pytest.raises(kind):
            sources.values_of_file(path)


def test_a_number_that_no_machine_can_hold_is_no_retention() -> None:
    with pytest.raises(StartRefusedError):
        check_unused({"auto-compaction-retention": str(2**63)})
