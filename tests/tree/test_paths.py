"""Clean paths and their pieces: spec/keys.md section 2."""

import pytest

from etcdpy.tree import paths


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        (b"", b"/"),
        (b"/", b"/"),
        (b"a", b"/a"),
        (b"/a/", b"/a"),
        (b"//a///b", b"/a/b"),
        (b"/a/./b/.", b"/a/b"),
        (b"/a/../b", b"/b"),
        (b"/../../a", b"/a"),
        (b"/a/...", b"/a/..."),
        (b"/a/.b/..c", b"/a/.b/..c"),
        (b"/\xff/\x00", b"/\xff/\x00"),
    ],
)
def test_clean_drops_empty_and_dot_components(given: bytes, cleaned: bytes) -> None:
    assert paths.clean(given) == cleaned
    assert paths.is_clean(given) == (given == cleaned)
    assert paths.is_clean(cleaned)


def test_pieces_of_a_path() -> None:
    assert paths.join(b"/", b"a") == b"/a"
    assert paths.join(b"/a", b"b") == b"/a/b"
    assert paths.below(b"/") == b"/"
    assert paths.below(b"/a") == b"/a/"
