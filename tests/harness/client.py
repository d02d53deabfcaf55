"""One keep-alive HTTP connection to a server, and what came back: no retries, no interpretation.

Tests that count what was acknowledged must know for each request whether it was sent and whether
it was answered, so this client never hides a broken connection.
"""

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def index(self) -> int:
        """X-Etcd-Index, the store index when the answer was made."""
        return int(self.headers["x-etcd-index"])


class NotSentError(Exception):
    """There was no connection to send the request on: it cannot have been applied."""


class Connection:
    """A connection that is opened when first used and again after it broke."""

    def __init__(
        self, url: str, deadline_s: float = 10.0, tls: ssl.SSLContext | None = None
    ) -> None:
        """`tls` is for an https URL."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._http = http.client.HTTPConnection(parts.hostname, parts.port, timeout=deadline_s)
        if parts.scheme == "https":
            self._http = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=deadline_s, context=tls
            )

    def request(
        self,
        method: str,
        path: str,
        form: Mapping[str, str] | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and read its whole answer; a `form` that is text is sent as it is.

        Raises: NotSentError when no connection could be made; OSError or HTTPException when the
        answer did not come, so that nobody knows whether the request was applied.
        """
        response = self.open(method, path, form, headers)
        try:
            body = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, body)

    def open(
        self,
        method: str,
        path: str,
        form: Mapping[str, str] | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        """Send one request and return when the head of its answer is here (a registered watch)."""
        if self._http.sock is None:
            try:
                self._http.connect()
            except OSError as error:
                raise NotSentError(str(error)) from error
        body = urlencode(form) if isinstance(form, Mapping) else form
        fields = dict(headers or {})
        if body is not None:
            fields.setdefault("Content-Type", FORM)
        try:
            self._http.request(method, path, body, fields)
            return self._http.getresponse()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def query(path: str, **parameters: str | int) -> str:
    """Return `path` with `parameters` as its query string."""
    return f"{path}?{urlencode(parameters)}" if parameters else path
