"""A thread that waits for the interpreter gets it within one of the loop's slices."""

import sys

import pytest

from etcdpy import snapshotter
from etcdpy.http import listing, notifier
from etcdpy.switching import switch_soon


@pytest.mark.parametrize("slice_s", [snapshotter.SLICE_S, listing.SLICE_S, notifier.SLICE_S])
def test_a_waiting_thread_is_heard_within_a_slice(slice_s: float) -> None:
    before_s = sys.getswitchinterval()
    try:
        switch_soon()
        assert 0 < sys.getswitchinterval() < slice_s
    finally:
        sys.setswitchinterval(before_s)
