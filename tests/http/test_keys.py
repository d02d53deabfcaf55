"""From a keys request to what is to be done, and from its outcome to the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdpy.errors import EtcdError
from etcdpy.http import keys, wire
from etcdpy.http.backend import RaftStatus
from etcdpy.http.form import FORM_TYPE
from etcdpy.http.keys import KeysRenderer, Plan, Read, Watch, Write
from etcdpy.http.wire import Request
from etcdpy.tree.command import Command, CommandKind
from etcdpy.tree.event import Event, NodeView

NOW_NS = 1_795_223_807_000_000_000
RAFT = RaftStatus(5, 2, 1)
CLUSTER_ID = 0xC8730D66636FF14
INT64_MAX = 2**63 - 1


def plan(method: str, target: bytes, body: bytes | None = None) -> Plan:
    path, _, query = target.partition(b"?")
    kind = b"" if body is None else FORM_TYPE
    return keys.parse(Request(method, keys.PREFIX + path, query, kind, body or b""), NOW_NS)


def command(method: str, target: bytes, body: bytes | None = None) -> Command:
    found = plan(method, target, body)
    assert isinstance(found, Write)
    return found.command


@pytest.mark.parametrize(
    ("path", "inside"), [(b"", b"/1"), (b"/", b"/1"), (b"/a", b"/1/a"), (b"/a/b/", b"/1/a/b")]
)
def test_keys_live_below_their_part_of_the_tree(path: bytes, inside: bytes) -> None:
    assert plan("GET", path) == Read(inside)
    assert command("PUT", path).path == inside


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        (b"", CommandKind.SET),
        (b"prevIndex=0", CommandKind.SET),
        (b"prevExist=false", CommandKind.CREATE),
        (b"prevExist=false&prevValue=x&prevIndex=9", CommandKind.CREATE),
        (b"prevExist=true", CommandKind.UPDATE),
        (b"prevExist=true&prevIndex=0", CommandKind.UPDATE),
        (b"prevExist=true&prevValue=x", CommandKind.COMPARE_AND_SWAP),
        (b"prevValue=x", CommandKind.COMPARE_AND_SWAP),
        (b"prevIndex=1", CommandKind.COMPARE_AND_SWAP),
    ],
)
def test_which_change_a_put_is(query: bytes, kind: CommandKind) -> None:
    assert command("PUT", b"/a?" + query).kind == kind


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        (b"", CommandKind.DELETE),
        (b"prevExist=false", CommandKind.DELETE),
        (b"prevIndex=0", CommandKind.DELETE),
        (b"prevIndex=1", CommandKind.COMPARE_AND_DELETE),
        (b"prevValue=x&dir=true&recursive=true", CommandKind.COMPARE_AND_DELETE),
    ],
)
def test_which_change_a_delete_is(query: bytes, kind: CommandKind) -> None:
    assert command("DELETE", b"/a?" + query).kind == kind


def test_a_post_creates_a_child_whatever_else_it_says() -> None:
    found = command("POST", b"/q?prevExist=true&prevValue=x&prevIndex=4", b"value=1")
    assert (found.kind, found.is_unique, found.value) == (CommandKind.CREATE, True, b"1")
    assert (found.prev_value, found.prev_index, found.is_refresh) == (None, 0, False)
    assert command("PUT", b"/q?prevExist=false").is_unique is False


def test_what_a_change_carries() -> None:
    found = command("PUT", b"/a", b"prevValue=%00&prevIndex=7&value=v&ttl=5&dir=true")
    assert found == Command(
        CommandKind.COMPARE_AND_SWAP,
        NOW_NS,
        b"/1/a",
        b"v",
        expiration_ns=NOW_NS + 5_000_000_000,
        prev_value=b"\x00",
        prev_index=7,
    )
    refreshed = command("PUT", b"/a", b"refresh=true&ttl=5")
    assert (refreshed.kind, refreshed.is_refresh) == (CommandKind.SET, True)
    assert command("PUT", b"/a?dir=true").is_dir
    assert command("DELETE", b"/a?recursive=true").is_recursive
    assert command("DELETE", b"/a?recursive=true").is_dir
    assert not command("DELETE", b"/a?dir=true").is_recursive


def test_which_read_a_get_is() -> None:
    assert plan("GET", b"/a?recursive=true&sorted=true") == Read(b"/1/a", True, True, False)
    assert plan("GET", b"/a?wait=true&quorum=true&stream=true") == Read(b"/1/a", is_quorum=True)
    assert plan("GET", b"/a?waitIndex=5&stream=true") == Read(b"/1/a")
    assert plan("HEAD", b"/a?quorum=true") == Read(b"/1/a")
    assert plan("GET", b"/a?wait=1&waitIndex=7") == Watch(b"/1/a", False, False, 7)
    assert plan("GET", b"/?wait=1&recursive=1&stream=1") == Watch(b"/1", True, True, 0)


@pytest.mark.parametrize(
    ("ttl_s", "expiration_ns"),
    [
        (0, NOW_NS),
        (100, NOW_NS + 100_000_000_000),
        (7_000_000_000, NOW_NS + 7 * 10**18),
        (2**64 - 1, NOW_NS - 10**9),
        (9_223_372_036, NOW_NS + 9_223_372_036 * 10**9 - 2**64),
        (8_000_000_000, NOW_NS + 8 * 10**18 - 2**64),
    ],
)
def test_expirations_wrap_as_64_bits_do(ttl_s: int, expiration_ns: int) -> None:
    assert keys.expiration(NOW_NS, ttl_s) == expiration_ns


@given(st.integers(0, 2**64 - 1))
def test_an_expiration_always_fits_64_bits(ttl_s: int) -> None:
    assert -INT64_MAX - 1 <= keys.expiration(NOW_NS, ttl_s) <= INT64_MAX


def event(action: str, *, is_new: bool = False) -> Event:
    node = NodeView(b"/1/a", b"v", False, None, 0, None, 4, 4)
    return Event(action, node, None if is_new else node, 9)


@pytest.mark.parametrize(
    ("action", "is_new", "status"),
    [
        ("set", True, 201),
        ("set", False, 200),
        ("create", True, 201),
        ("update", False, 200),
        ("compareAndSwap", False, 200),
        ("delete", False, 200),
        ("get", True, 200),
    ],
)
def test_only_new_nodes_are_created(action: str, is_new: bool, status: int) -> None:
    assert keys.status_of(event(action, is_new=is_new)) == status


@pytest.mark.parametrize("action", ["set", "create", "update", "compareAndSwap"])
def test_the_value_can_be_left_out_of_a_writes_answer(action: str) -> None:
    assert keys.body_of(event(action), True) == b'{"action":"%b"}\n' % action.encode()


@pytest.mark.parametrize("action", ["delete", "compareAndDelete", "get"])
def test_other_answers_are_always_whole(action: str) -> None:
    assert keys.body_of(event(action), True) == keys.body_of(event(action), False)


def test_headers_of_success_and_error() -> None:
    renderer = KeysRenderer(CLUSTER_ID)
    common = b"Content-Type: application/json\r\nX-Etcd-Cluster-Id: c8730d66636ff14\r\n"
    success = renderer.head_lines(9, RAFT)
    assert success == common + b"X-Etcd-Index: 9\r\nX-Raft-Index: 5\r\nX-Raft-Term: 2\r\n"
    refused = renderer.respond_error(EtcdError(101, b"[a != b]", 7))
    assert refused.status == 412
    assert refused.headers == common + b"X-Etcd-Index: 7\r\n"


@given(
    st.sampled_from((200, 201)),
    st.integers(0, 2**63),
    st.builds(RaftStatus, st.integers(0, 9), st.integers(0, 2), st.integers(0, 2)),
    st.binary(max_size=wire.UNCHUNKED_BYTES_MAX),
)
def test_a_plain_answer_is_the_general_one(
    status: int, index: int, raft: RaftStatus, body: bytes
) -> None:
    renderer = KeysRenderer(CLUSTER_ID)
    for cors, date in ((wire.CORS, b"Date: a\r\n"), (b"", b"Date: b\r\n")):
        general = wire.encode(
            wire.Response(status, renderer.head_lines(index, raft), body), wire.PLAIN, date, cors
        )
        assert renderer.encode_plain(status, index, raft, body, date=date, cors=cors) == general


@given(
    st.sampled_from((b"", b"/", b"/a", b"/a/", b"/a/b")),
    st.lists(st.sampled_from((b"value=", b"a", b"%41", b"%4", b"+", b"&", b";", b"=", b"ttl=1"))),
)
def test_a_plain_put_is_what_it_is_in_general(path: bytes, parts: list[bytes]) -> None:
    body = b"".join(parts)
    found = keys.find_plain_put(keys.PREFIX + path, body, NOW_NS)
    if found is not None:
        assert found == plan("PUT", path, body)


@pytest.mark.parametrize(
    ("content_type", "is_read"),
    [
        (FORM_TYPE, True),
        (FORM_TYPE.upper() + b"; x=y", True),
        (b"", False),
        (b"text/plain", False),
        (FORM_TYPE + b"; =bad", False),
        (b"bad bad", False),
    ],
)
def test_only_forms_are_read(content_type: bytes, is_read: bool) -> None:
    request = Request("PUT", b"/v2/keys/k", content_type=content_type)
    assert keys.has_form(request) is is_read
