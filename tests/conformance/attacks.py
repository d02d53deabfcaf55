"""What an attacker sends to a member with auth on: requests that mean more than they seem to.

In the attackers' world a guest may read `/pub` with all below it and write `/number`, bob may do
all below `/app`, and the value SECRET, which stands under other keys, is for root alone.
"""

from base64 import b64encode
from collections.abc import Iterator

from tests.conformance.auth_sides import ROOT, Ask, authorization, put
from tests.http.rawsocket import FORM_HEAD, request

BOB = "bob:pw"
SECRET = "for-root-alone"
HIDDEN = b"/v2/keys/secret/x"
#: A value that could be taken for a user with every right.
FORGED = '{"user":"forged","password":"$2a$10$","roles":["root"]}'


def directions() -> Iterator[Ask]:
    """Yield what makes the attackers' world, on a member where auth is off."""
    app = {"kv": {"read": ["/app/*"], "write": ["/app/*"]}}
    pub = {"kv": {"read": ["/pub", "/pub/*"], "write": ["/number"]}}
    yield put("/users/root", {"user": "root", "password": "pw"})
    yield put("/roles/app", {"role": "app", "permissions": app})
    yield put("/roles/guest", {"role": "guest", "permissions": pub})
    yield put("/users/bob", {"user": "bob", "password": "pw", "roles": ["app"]})
    for key in ("secret/x", "_hidden/x"):
        yield Ask("PUT", f"/v2/keys/{key}", "", f"value={SECRET}", is_form=True)
    yield Ask("PUT", "/v2/keys/pub/x", "", "value=free", is_form=True)
    yield Ask("PUT", "/v2/keys/app/forged", "", f"value={FORGED}", is_form=True)
    yield put("/enable")


#: Other ways to write a path that is forbidden, or to leave one that is not.
ALIASES = (
    *(b"/v2/keys/secret/x", b"//v2/keys/secret/x", b"/v2//keys/secret/x", b"/v2/keys//secret/x"),
    *(b"/v2/keys/./secret/x", b"/v2/keys/%2e/secret/x", b"/v2/keys/pub/../secret/x"),
    *(
        b"/v2/keys/pub/%2e%2e/secret/x",
        b"/v2/keys/pub/%2E./secret/x",
        b"/v2/keys/pub/..%2fsecret/x",
    ),
    *(b"/v2/keys/pub%2f..%2fsecret%2fx", b"/v2%2fkeys%2fsecret%2fx", b"/v2/%6beys/%73ecret/x"),
    *(b"/V2/keys/secret/x", b"/v2/KEYS/secret/x", b"/v2/keys/SECRET/x", b"/v2/keys/secret/X"),
    *(b"/v2/keys/secret/x/", b"/v2/keys/secret/x//", b"/v2/keys/secret/x/.", b"/v2/keys/secret/"),
    *(b"/v2/keys/secret/x%00", b"/v2/keys/%00/../secret/x", b"/v2/keys/pub/%00/../../secret/x"),
    # Overlong forms of `.` and `/`, and escapes of escapes.
    *(b"/v2/keys/pub/%c0%ae%c0%ae/secret/x", b"/v2/keys/pub/%c0%af..%c0%afsecret/x"),
    *(b"/v2/keys/pub/%e0%80%ae%e0%80%ae/secret/x", b"/v2/keys/pub/%252e%252e/secret/x"),
    *(b"/v2/keys/pub;/../secret/x", b"/v2/keys/secret/x;a=b", b"/v2/keys/pub#/../secret/x"),
    *(b"/v2/keys/secret/x#pub", b"/v2/keys/pub/..\\secret/x", b"/v2/keys/pub\\..\\secret\\x"),
    *(
        b"http://h/v2/keys/secret/x",
        b"http://root:pw@h/v2/keys/secret/x",
        b"http:/v2/keys/secret/x",
    ),
    *(
        b"http://h//v2/keys/secret/x",
        b"x:/v2/keys/pub/../secret/x",
        b"http://h/v2/keys/pub/../secret",
    ),
    *(
        b"/v2/keys/_hidden/x",
        b"/v2/keys",
        b"/v2/keys/",
        b"/v2/keys/..",
        b"/v2/keys/../keys/secret/x",
    ),
    # The users themselves, which stand beside the keys in one tree.
    *(b"/v2/keys/../2/users/root", b"/v2/keys/%2e%2e/2/users/root", b"/v2/2/users/root"),
    *(b"/v2/keys/pub/../../../2/users", b"/2/users/root", b"/v2/keys/pub/../../auth/users"),
    *(b"/v2/auth/users", b"/v2/auth/users/", b"/v2/auth//users", b"/v2/auth/%75sers/root"),
    *(
        b"/v2/auth/users/bob/",
        b"/v2/auth/users/bob%00",
        b"/v2/auth/enable/",
        b"/v2/auth/roles/guest",
    ),
    *(b"/v2/auth/enable/../users", b"/v2/auth/enable%2f..%2fusers", b"/v2/members/../auth/users"),
)
METHODS = (b"GET", b"HEAD", b"PUT", b"POST", b"DELETE", b"OPTIONS", b"CONNECT", b"get", b"PATCH")

#: Ways to ask for more than one key, in the query of a request for a key or a directory.
WIDER = (
    *("recursive=true", "wait=true&waitIndex=1", "wait=true&recursive=true&waitIndex=1"),
    *("quorum=true", "sorted=true&recursive=true", "recursive=false&recursive=true"),
    *("wait=true&quorum=true&recursive=true", "wait=true&stream=true&recursive=true"),
)


def _basic(text: bytes) -> bytes:
    return b"Authorization: Basic %b\r\n" % text


_ROOT = authorization(ROOT)
_BOB = authorization(BOB)
_CODE = b64encode(ROOT.encode())

#: Headers with which nobody is root.
NO_ROOT = {
    "another user first": _BOB + _ROOT,
    "a wrong password first": authorization("root:no") + _ROOT,
    "none first": b"Authorization:\r\n" + _ROOT,
    "two in one": b"Authorization: Basic %b, Basic %b\r\n" % (b64encode(BOB.encode()), _CODE),
    "goes on in another line": _ROOT + b" x\r\n",
    "is the other line of another": b"X: a\r\n " + _ROOT,
    "for a proxy": b"Proxy-" + _ROOT,
    "an underscore": _ROOT.replace(b"Auth", b"_Auth"),
    "two blanks": _basic(b" " + _CODE),
    "tab": b"Authorization: Basic\t%b\r\n" % _CODE,
    "another scheme": b"Authorization: Bearer %b\r\n" % _CODE,
    "as a cookie": b"Cookie: Authorization=Basic %b\r\n" % _CODE,
    "another method": b"X-HTTP-Method-Override: OPTIONS\r\nX-Method-Override: OPTIONS\r\n",
    "another path": b"X-Original-URL: /v2/keys/pub/x\r\nX-Rewrite-URL: /v2/keys/pub/x\r\n",
    "another client": b"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-User: root\r\n",
    "said by a proxy": b"Remote-User: root\r\nX-Client-Cert: root\r\nForwarded: for=127.0.0.1\r\n",
    "no padding": _basic(_CODE.rstrip(b"=")),
    "more padding": _basic(_CODE + b"="),
    "bits in the padding": _basic(_CODE[:-2] + b"x="),
    "something behind": _basic(_CODE + b";"),
    "a line end within": _basic(_CODE[:4] + b"\r\n " + _CODE[4:]),
}
#: The same with which root is root: etcd has it so, and there is nothing wrong with them.
STILL_ROOT = {
    "first of two": _ROOT + _BOB,
    "any case": b"aUTHORIZATION: bAsIC %b\r\n" % _CODE,
    "blanks around": b"Authorization: \t Basic %b \t\r\n" % _CODE,
    "on the next line": b"Authorization: Basic\r\n %b\r\n" % _CODE,
}
#: Names and passwords that are nearly those of somebody.
NEARLY = (
    *("root:", "root:pw:", "root:pw ", "root: pw", "root:PW", "root", ":", ":pw", "ROOT:pw"),
    *("root :pw", " root:pw", "root\0:pw", "root\n:pw", "r\u043eot:pw", "\ufeffroot:pw"),
    *("root:pw\0", "root:pw\0x", "guest:", "guest:guest", "root%00:pw", "root:pw\r\n"),
)
#: Names that lead elsewhere in the tree; etcd takes the first three for users.
LEADING = ("./root:pw", "x/../root:pw", "../../1/app/forged:pw", "..:pw", ".:pw", "/root:pw")

NUMBERS = (
    *(b"9" * 5000, b"0" * 3000 + b"5", b"18446744073709551615", b"18446744073709551616"),
    *(b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"-1", b"-0"),
    *(
        b"1e3",
        b"0x10",
        b"0b1",
        b"1_000",
        b"+5",
        b"%2B5",
        b"%205",
        b"5%20",
        b"5%0a",
        b"5%00",
        b"5.0",
    ),
    *(b"%d9%a3", b"%c2%b2", b"%ef%bc%95", b"NaN", b"Infinity", b"1" * 100_000),
)


def with_numbers() -> Iterator[bytes]:
    """Yield a guest's and root's requests with each number; none waits or changes anything."""
    for number in NUMBERS:
        if len(number) < 4000:  # a longer first line is a listed difference
            yield request(target=b"/v2/keys/pub/x?wait=true&waitIndex=" + number)
            yield request(b"DELETE", b"/v2/keys/number?prevIndex=" + number)
            yield request(b"DELETE", b"/v2/members/" + number, _ROOT)
        for field in (b"prevIndex", b"ttl"):
            body = b"value=1&prevExist=true&%b=%b" % (field, number)
            yield request(b"PUT", b"/v2/keys/number", FORM_HEAD, body)
