"""Member or proxy: the directory decides, then the settings."""

from pathlib import Path

import pytest

from etcdpy.errors import ConfigError, FatalError
from etcdpy.settings.config import Config
from etcdpy.startup.roles import Role, find_role


def role(path: Path, mode: str = "off") -> Role:
    return find_role(Config(data_dir=str(path), proxy=mode))


@pytest.mark.parametrize(
    ("mode", "wanted"), [("off", Role.MEMBER), ("on", Role.PROXY), ("readonly", Role.PROXY)]
)
def test_an_unused_directory_is_what_the_settings_say(
    tmp_path: Path, mode: str, wanted: Role
) -> None:
    assert role(tmp_path / "missing", mode) is wanted
    assert role(tmp_path, mode) is wanted
    (tmp_path / "other").mkdir()
    assert role(tmp_path, mode) is wanted


@pytest.mark.parametrize("sign", ["member", "etcdpy.format"])
@pytest.mark.parametrize("mode", ["off", "on"])
def test_a_members_directory_stays_a_members(tmp_path: Path, sign: str, mode: str) -> None:
    (tmp_path / sign).mkdir()
    assert role(tmp_path, mode) is Role.MEMBER


@pytest.mark.parametrize("mode", ["off", "on"])
def test_a_proxys_directory_stays_a_proxys(tmp_path: Path, mode: str) -> None:
    (tmp_path / "proxy").mkdir()
    assert role(tmp_path, mode) is Role.PROXY


def test_both_at_once_and_what_is_no_directory_are_refused(tmp_path: Path) -> None:
    (tmp_path / "proxy").mkdir()
    (tmp_path / "etcdpy.format").write_text("")
    with pytest.raises(FatalError, match="Both member and proxy directories exist"):
        role(tmp_path)
    with pytest.raises(ConfigError, match="error listing data dir"):
        role(tmp_path / "etcdpy.format")
