"""What is said of files that others can reach; a directory is judged beside etcd elsewhere."""

from pathlib import Path

import pytest

from etcdpy.startup.exposure import warn_of_directory, warn_of_key


@pytest.mark.parametrize(
    ("mode", "shown"),
    [(0o700, ""), (0o755, "drwxr-xr-x"), (0o770, "drwxrwx---"), (0o500, "dr-x------")],
)
def test_a_directory_is_its_owners_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, shown: str
) -> None:
    directory = tmp_path / "data"
    directory.mkdir()
    directory.chmod(mode)
    warn_of_directory(str(directory))
    line = (
        f'check file permission: directory "{directory}" exist, but the permission is "{shown}".'
        ' The recommended permission is "-rwx------" to prevent possible unprivileged access to'
        " the data."
    )
    assert caplog.messages == ([line] if shown else [])


@pytest.mark.parametrize(
    ("mode", "is_said"),
    [(0o600, False), (0o640, False), (0o660, False), (0o644, True), (0o602, True)],
)
def test_a_key_may_be_read_by_a_group_but_not_by_everybody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, is_said: bool
) -> None:
    key = tmp_path / "key.pem"
    key.write_text("")
    key.chmod(mode)
    warn_of_key(str(key))
    assert bool(caplog.messages) == is_said


def test_what_is_not_there_is_not_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for path in ("", str(tmp_path / "none"), "a\0b"):
        warn_of_directory(path)
        warn_of_key(path)
    warn_of_directory(str(Path(__file__)))
    assert caplog.messages == []
