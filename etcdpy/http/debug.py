"""/debug/vars and /config/local/log: a look into the process, and how much it says.

Neither asks who asks, as in etcd: they are for a port that only operators reach.
Source: spec/observability.md sections 5 and 6.
"""

from etcdpy.http import wire
from etcdpy.http.backend import Backend
from etcdpy.http.gojson import reader as gojson_reader
from etcdpy.http.gojson import writer as gojson
from etcdpy.http.gojson.fields import fields_of, string_of
from etcdpy.http.gojson.reader import JsonError
from etcdpy.http.wire import Request, Response

LOG_LEVEL_PATH = b"/config/local/log"
#: A level is a word; etcd has no bound.
BODY_BYTES_MAX = 16 * 1024
BODY_TOO_LARGE = b"http: request body too large"

_VARS_TYPE = b"Content-Type: application/json; charset=utf-8\r\n"
_BAD_BODY = wire.message(400, b'"Invalid json body"')


async def get_vars(backend: Backend, request: Request) -> Response:
    """Answer GET /debug/vars: one variable a line."""
    lines = [
        b"%b: %b" % (gojson.quote(name.encode()), gojson.dumps(value))
        for name, value in backend.monitor.variables().items()
    ]
    return Response(200, _VARS_TYPE, b"{\n%b\n}\n" % b",\n".join(lines))


def is_body_wanted(request: Request) -> bool:
    """Tell that the body is read, whatever its type."""
    return True


async def put_log_level(backend: Backend, request: Request) -> Response:
    """Answer PUT /config/local/log: `{"Level":"DEBUG"}`, the key in any case."""
    if request.body_error:
        return _BAD_BODY
    try:
        level = _read_level(request.body)
    except JsonError:
        return _BAD_BODY
    if not backend.monitor.set_log_level(level):
        words = f"Invalid log level {level}".encode("utf-8", "surrogateescape")
        return wire.message(400, gojson.quote(words))
    return Response(204, is_length_hidden=True)


def _read_level(body: bytes) -> str:
    """Return what the body names, empty where it names nothing.  Raises: JsonError."""
    level = ""
    # Go's decoder reads one value and leaves what follows.
    for name, field in fields_of(gojson_reader.parse_first(body)):
        if name == "level":
            level = string_of(field, level)
    return level
