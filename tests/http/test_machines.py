"""GET /v2/machines."""

import pytest

from etcdpy.http.machines import get_machines
from etcdpy.tree.members import Member
from tests.http.backend import TreeBackend
from tests.http.faces import ask


def test_all_urls_sorted_as_text_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = TreeBackend()
    members = [
        Member(1, (), "b", ("http://b:1", "http://z:1")),
        Member(2, ()),
        Member(3, (), "a", ("http://a:1", "http://c:1")),
    ]
    monkeypatch.setattr(backend, "members", lambda: members)
    response = ask(get_machines, backend)
    assert response.body == b"http://a:1, http://b:1, http://c:1, http://z:1"
    assert response.headers == b"Content-Type: text/plain; charset=utf-8\r\n"
