"""What a client may send on one connection, odd and broken forms included.

Each is sent to both servers; `END` makes a connection that goes on end, so that it shows whether
it goes on.
"""

from tests.http.rawsocket import FORM_HEAD, put, request

KEY = b"/v2/keys/wire"
GET = request(target=b"/version", is_last=False)
END = request(target=b"/version")
PUT = put(KEY, b"value=1", is_last=False)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"7\r\nvalue=1\r\n0\r\n\r\n"


def get(headers: bytes, version: bytes = b"1.1", target: bytes = b"/v2/keys/none") -> bytes:
    """Return a GET; `headers` are whole lines, the Host line included."""
    return b"GET %b HTTP/%b\r\n%b\r\n" % (target, version, headers)


def form(headers: bytes, body: bytes, method: bytes = b"PUT") -> bytes:
    """Return a request with a form whose framing is in `headers`."""
    return request(method, KEY, FORM_HEAD + headers, is_last=False) + body


def chunked(body: bytes) -> bytes:
    """Return a PUT of a form in chunks, and another request."""
    return form(CHUNKED, body) + END


LINES = {
    "no version": b"GET /v2/keys/a\r\n\r\n",
    "garbage": b"garbage\r\n\r\n",
    "space in target": b"GET /v2/keys/a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "two spaces": b"GET  /version HTTP/1.1\r\nHost: x\r\n\r\n",
    "leading space": b" GET /version HTTP/1.1\r\nHost: x\r\n\r\n",
    "trailing space": b"GET /version HTTP/1.1 \r\nHost: x\r\n\r\n",
    "tab": b"GET /version\tHTTP/1.1\r\nHost: x\r\n\r\n",
    "lower-case version": b"GET /version http/1.1\r\nHost: x\r\n\r\n",
    "version 0.9": b"GET /version HTTP/0.9\r\nHost: x\r\n\r\n",
    "version 1.2": get(b"Host: x\r\nConnection: close\r\n", b"1.2"),
    "version 1.10": get(b"Host: x\r\n", b"1.10"),
    "version 2.0": get(b"Host: x\r\n", b"2.0"),
    "version 2.0, bad target": get(b"Host: x\r\n", b"2.0", b"/%zz"),
    "bad method": request(b"G(T", KEY) + END,
    "long method": request(b"A" * 300, KEY) + END,
    "raw utf-8": request(target="/v2/keys/é?x=é".encode(), is_last=False) + END,
    "raw utf-8 redirected": request(target="/v2/keys//é?x=é".encode(), is_last=False) + END,
    "unknown method": request(b"FOO", KEY, b"", b"value=1", is_last=False) + END,
    "connect": request(b"CONNECT", KEY, is_last=False) + END,
    "connect to a host": request(b"CONNECT", b"x:80", is_last=False) + END,
    "connect without host": b"CONNECT x:80 HTTP/1.1\r\n\r\n" + END,
    "opaque target": request(target=b"foo:bar?x", is_last=False) + END,
    "scheme and path": request(target=b"http:/version", is_last=False) + END,
    "query alone": request(target=b"?x") + END,
    "absolute": request(target=b"http://u:p@h:1/version", is_last=False) + END,
    "absolute, ipv6": request(target=b"http://[::1]:3/version", is_last=False) + END,
    "absolute, open bracket": request(target=b"http://[::1/version") + END,
    "absolute, bad port": request(target=b"http://h:xx/version") + END,
    "absolute, bad user": request(target=b"http://a[b@h/version") + END,
    "absolute, escaped letter": request(target=b"http://%41/version") + END,
    "absolute, escaped utf-8": request(target=b"http://%c3%a9/version", is_last=False) + END,
    "absolute, many colons": request(target=b"http://a:b:1/version", is_last=False) + END,
    "bare line feeds": b"GET /version HTTP/1.1\nHost: x\n\n" + END,
    "bare line feed at the end": b"GET /version HTTP/1.1\r\nHost: x\n\r\n" + END,
    "empty lines": b"\r\n\r\n" + END,
    "no host, bad target": get(b"", target=b"/%zz"),
}

FIELDS = {
    "no host": get(b""),
    "no host, 1.0": get(b"", b"1.0"),
    "two hosts": get(b"Host: x\r\nHost: x\r\n"),
    "empty host": get(b"Host:\r\n") + END,
    "malformed host": get(b"Host: a b\r\n"),
    "blanks around host": get(b"Host: \t x \t\r\n") + END,
    "control in value": get(b"Host: x\r\nA: b\x01c\r\n"),
    "nul in value": get(b"Host: x\r\nA: b\x00c\r\n"),
    "bare CR in value": get(b"Host: x\r\nA: b\rc\r\n"),
    "raw bytes in value": get(b"Host: x\r\nA: b\xffc\r\n") + END,
    "folded": get(b"Host: x\r\nA: b\r\n c\r\n\td\r\n") + END,
    "folded first": get(b" Host: x\r\n"),
    "folded length": form(b"Content-Length:\r\n 7\r\n", b"value=1") + END,
    "empty name": get(b"Host: x\r\n: b\r\n") + END,
    "blank before colon": get(b"Host: x\r\nA : b\r\n"),
    "no colon": get(b"Host: x\r\nA b\r\n"),
    "two content types": form(b"Content-Type: text/plain\r\nContent-Length: 5\r\n", b"ttl=x") + END,
    "close among others": get(b"Host: x\r\nConnection: foo, CLOSE\r\n") + END,
    "close in a second header": get(b"Host: x\r\nConnection: foo\r\nConnection: close\r\n") + END,
    "1.0 keep-alive": get(b"Connection: Keep-Alive\r\n", b"1.0") + END,
    "1.0 keep-alive and close": get(b"Connection: keep-alive, close\r\n", b"1.0") + END,
    "upgrade": get(b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n") + END,
}

FRAMING = {
    "length twice": form(b"Content-Length: 7\r\nContent-Length: 7\r\n", b"value=1") + END,
    "two lengths": form(b"Content-Length: 7\r\nContent-Length: 6\r\n", b"value=1") + END,
    "list of lengths": form(b"Content-Length: 7, 7\r\n", b"value=1") + END,
    "length with a sign": form(b"Content-Length: +7\r\n", b"value=1") + END,
    "length with a blank": form(b"Content-Length: 7 \r\n", b"value=1") + END,
    "length with zeros": form(b"Content-Length: 00000000000000000000007\r\n", b"value=1") + END,
    "empty length": form(b"Content-Length: \r\n", b"") + END,
    "hexadecimal length": form(b"Content-Length: 0x7\r\n", b"value=1") + END,
    "length with an underscore": form(b"Content-Length: 0_7\r\n", b"value=1") + END,
    "huge length": form(b"Content-Length: 9223372036854775808\r\n", b"value=1") + END,
    "chunked": chunked(CHUNKS),
    "chunked, other case": form(b"Transfer-Encoding:\tChunked \r\n", CHUNKS) + END,
    "chunked twice": form(CHUNKED + CHUNKED, CHUNKS) + END,
    "xchunked": form(b"Transfer-Encoding: xchunked\r\n", CHUNKS) + END,
    "chunked, identity": form(b"Transfer-Encoding: chunked, identity\r\n", CHUNKS) + END,
    "gzip, chunked": form(b"Transfer-Encoding: gzip, chunked\r\n", CHUNKS) + END,
    "identity": form(b"Transfer-Encoding: identity\r\nContent-Length: 7\r\n", b"value=1") + END,
    "empty encoding": form(b"Transfer-Encoding: \r\nContent-Length: 7\r\n", b"value=1") + END,
    "vertical tab": form(b"Transfer-Encoding: \x0bchunked\r\n", CHUNKS) + END,
    "encoding of 1.0": form(CHUNKED, CHUNKS).replace(b"HTTP/1.1", b"HTTP/1.0") + END,
    "encoding and length of 1.0": form(
        b"Connection: keep-alive\r\nTransfer-Encoding: gzip\r\nContent-Length: 7\r\n", b"value=1"
    ).replace(b"HTTP/1.1", b"HTTP/1.0")
    + END,
    "forbidden trailer": form(CHUNKED + b"Trailer: X, Content-Length\r\n", CHUNKS) + END,
    "body of GET": request(headers=b"Content-Length: 7\r\n", is_last=False) + b"value=1" + END,
    "request as body": request(b"PATCH", KEY, b"", END, is_last=False) + END,
    "unread chunks": request(b"PATCH", KEY, CHUNKED, is_last=False) + CHUNKS + END,
    "unread bad chunks": request(b"DELETE", KEY, CHUNKED, is_last=False) + b"zz\r\n" + END,
    "unread 200 kB": request(b"PUT", b"/none", b"", b"v" * 200_000, is_last=False) + END,
    "CRLF after a POST": form(b"Content-Length: 7\r\n", b"value=1", b"POST") + b"\r\n\r\n" + END,
    "5 line feeds after a POST": form(b"Content-Length: 1\r\n", b"v", b"POST") + b"\n" * 5 + END,
    "CRLF after a PUT": PUT + b"\r\n" + END,
    "CRLF after a GET": GET + b"\r\n" + END,
}

CHUNKS_OF_ALL_KINDS = {
    "extension": chunked(b"7;a=b;c\r\nvalue=1\r\n0;x\r\n\r\n"),
    "blank after size": chunked(b"7 \t\r\nvalue=1\r\n0\r\n\r\n"),
    "blank before extension": chunked(b"7 ;a\r\nvalue=1\r\n0\r\n\r\n"),
    "zeros": chunked(b"0000000000000007\r\nvalue=1\r\n000\r\n\r\n"),
    "line feeds after sizes": chunked(b"7\nvalue=1\r\n0\n\r\n"),
    "line feed after data": chunked(b"7\nvalue=1\n0\n\n"),
    "no end of data": chunked(b"7\r\nvalue=1XX0\r\n\r\n"),
    "negative": chunked(b"-7\r\nvalue=1\r\n0\r\n\r\n"),
    "0x": chunked(b"0x7\r\nvalue=1\r\n0\r\n\r\n"),
    "too large": chunked(b"f" * 17 + b"\r\nvalue=1\r\n0\r\n\r\n"),
    "too large and bad": chunked(b"f" * 16 + b"z\r\nvalue=1\r\n0\r\n\r\n"),
    "empty size": chunked(b"\r\n\r\n"),
    "trailer": chunked(b"7\r\nvalue=1\r\n0\r\nX: y\r\n\r\n"),
    "trailer that means nothing": chunked(b"7\r\nvalue=1\r\n0\r\nContent-Length: 5\r\n\r\n"),
    "trailer without colon": chunked(b'7\r\nvalue=1\r\n0\r\nX "y\r\n\r\n'),
    "folded trailer": chunked(b"7\r\nvalue=1\r\n0\r\n X: y\r\n\r\n"),
    "trailer that ends early": chunked(b"7\r\nvalue=1\r\n0\r\nX: y\n\n"),
    "long trailer": chunked(b"7\r\nvalue=1\r\n0\r\nX: " + b"y" * 4096 + b"\r\n\r\n"),
    "bad trailer of a body that nobody reads": request(b"PATCH", KEY, CHUNKED, is_last=False)
    + b"0\r\nX\r\n\r\n"
    + END,
}

EXPECT = b"Expect: 100-continue\r\n"
EXPECTATIONS = {
    "empty body": form(EXPECT + b"Content-Length: 0\r\n", b"") + END,
    "list": form(b"Expect: 100-Continue, foo\r\nContent-Length: 7\r\n", b"value=1") + END,
    "twice": form(EXPECT + b"Expect: foo\r\nContent-Length: 7\r\n", b"value=1") + END,
    "empty": form(b"Expect: \r\nContent-Length: 7\r\n", b"value=1") + END,
    "1.0": form(EXPECT + b"Content-Length: 7\r\n", b"value=1").replace(b"TP/1.1", b"TP/1.0"),
    "other, 1.0": form(b"Expect: foo\r\nContent-Length: 7\r\n", b"value=1").replace(
        b"TP/1.1", b"TP/1.0"
    ),
    "chunked": form(EXPECT + CHUNKED, CHUNKS) + END,
    "bad chunks": form(EXPECT + CHUNKED, b"zz\r\n") + END,
    "GET": request(headers=EXPECT, is_last=False) + END,
    "GET with a body": request(headers=EXPECT + b"Content-Length: 7\r\n", is_last=False)
    + b"value=1"
    + END,
    "unread": request(
        b"PUT", KEY, b"Content-Type: text/plain\r\nContent-Length: 7\r\n" + EXPECT, is_last=False
    )
    + b"value=1"
    + END,
    "unread, malformed type": request(
        b"PUT", KEY, b"Content-Type: a/\r\nContent-Length: 7\r\n" + EXPECT, is_last=False
    )
    + b"value=1"
    + END,
    "not found": request(b"PUT", b"/none", EXPECT + b"Content-Length: 7\r\n", is_last=False)
    + b"value=1"
    + END,
    "redirected": request(b"PUT", b"//none", EXPECT + CHUNKED, is_last=False) + CHUNKS + END,
}

ALL = {
    f"{kind}: {name}": data
    for kind, cases in (
        ("line", LINES),
        ("second line", {name: GET + data for name, data in LINES.items()}),
        ("pipelined", {name: PUT + data for name, data in FIELDS.items()}),
        ("fields", FIELDS),
        ("framing", FRAMING),
        ("chunks", CHUNKS_OF_ALL_KINDS),
        ("expect", EXPECTATIONS),
    )
    for name, data in cases.items()
}

# What follows is cut off by the end of the client's sending side.
TRUNCATED = {
    "nothing": b"",
    "half a line": b"GET /ver",
    "a line": b"GET /version HTTP/1.1\r\n",
    "half a head": b"GET /version HTTP/1.1\r\nHost: x",
    "half a second line": GET + b"GET /ver",
    "half a second head": GET + b"GET /version HTTP/1.1\r\nHost: x\r\n",
    "half a length": form(b"Content-Length: 7\r\n", b"val"),
    "half a size": form(CHUNKED, b"7"),
    "half a chunk": form(CHUNKED, b"7\r\nval"),
    "no last chunk": form(CHUNKED, b"7\r\nvalue=1\r\n"),
    "half a last chunk": form(CHUNKED, b"7\r\nvalue=1\r\n0\r\n"),
    "half a trailer": form(CHUNKED, b"7\r\nvalue=1\r\n0\r\nX: y\r\n"),
    "good requests": GET + PUT + GET,
}
