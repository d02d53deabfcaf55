"""Runs the requests of a recorded scenario against a server and returns the steps with its answers.

Recorder and tests both use it: what is compared was made in the same way.
"""

import json
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.conformance import normal
from tests.conformance.rawhttp import Head, WatchReader, Wire
from tests.conformance.transcript import Step

QUIET_S = 0.15


class Player:
    """Plays the steps of one scenario, in order, against the server on `port`.

    Where it is guarded, `tls` and `headers` are added to what the steps say.
    """

    def __init__(
        self,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._port = port
        self._tls = tls
        self._headers = dict(headers or {})
        self._watches: dict[str, WatchReader] = {}

    def play(self, steps: list[Step]) -> list[Step]:
        """Return the steps with this server's responses; closes all watches at the end."""
        try:
            return [self._play_step(step) for step in steps]
        finally:
            for watch in self._watches.values():
                watch.wire.close()
            self._watches.clear()

    def _connect(self) -> Wire:
        return Wire(self._port, tls=self._tls)

    def _play_step(self, step: Step) -> Step:
        run = _OPERATIONS[step.get("op", "request")]
        try:
            answered = run(self, step)
        except Exception as error:
            error.add_note(f"in step {step['step']} of {step['scenario']}: {step.get('request')}")
            raise
        return {**step, "response": answered} if answered is not None else dict(step)

    def _request(self, step: Step) -> dict[str, Any]:
        request, wanted = step["request"], step.get("response", {})
        method = request["method"]
        with self._connect() as wire:
            headers = {**self._headers, **request["headers"]}
            wire.send(method, request["path"], headers, request["body"])
            head = wire.read_head()
            data = wire.read_body(method, head)
        value = normal.parse_json(data, head.headers)
        is_json = not isinstance(value, str)
        shown, is_volatile = normal.body(value, is_new=True)
        is_listing = method == "GET" and not normal.is_sorted_asked(request["path"])
        is_unordered = is_listing and normal.sort_nodes(shown)
        if is_json and "X-Etcd-Index" in head.headers and not data.endswith(b"}\n"):
            raise normal.NormalError(f"no newline at the end of {data!r}")
        answer = {
            "status": head.status,
            "headers": _shown_headers(head, wanted, is_volatile=is_volatile),
            "body": shown,
        }
        if is_unordered:
            answer["unordered"] = True
        if "body_raw" in wanted:
            answer["body_raw"] = data.decode()
        return answer

    def _repeat(self, step: Step) -> dict[str, Any]:
        request, wanted = step["request"], step.get("response", {})
        method, path = request["method"], request["path"]
        headers = {**self._headers, **request["headers"]}
        assert step["count"] > 0
        with self._connect() as wire:
            for number in range(step["count"]):
                body = request["body"].replace("{i}", str(number))
                wire.send(method, path, headers, body, is_last=False)
                head = wire.read_head()
                data = wire.read_body(method, head)
        shown, is_volatile = normal.body(json.loads(data), is_new=True)
        return {
            "status": head.status,
            "headers": _shown_headers(head, wanted, is_volatile=is_volatile),
            "body": shown,
        }

    def _open_watch(self, step: Step) -> dict[str, Any]:
        request, wanted = step["request"], step.get("response", {})
        wire = self._connect()
        headers = {**self._headers, **request["headers"]}
        self._watches[step["id"]] = WatchReader(wire)
        wire.send(request["method"], request["path"], headers, request["body"], is_last=False)
        head = wire.read_head()
        shown = _shown_headers(head, wanted, is_volatile=False)
        return {"status": head.status, "headers": shown}

    def _collect_watch(self, step: Step) -> dict[str, Any]:
        watch = self._watches[step["id"]]
        count = len(step["response"]["events"]) if "response" in step else step.get("want", 1)
        lines = watch.collect(count, QUIET_S)
        events = [normal.body(json.loads(line), is_new=False)[0] for line in lines]
        return {"events": events, "ended": watch.is_ended}

    def _close_watch(self, step: Step) -> None:
        self._watches.pop(step["id"]).wire.close()

    def _sleep(self, step: Step) -> None:
        time.sleep(step["seconds"])


_OPERATIONS: dict[str, Callable[[Player, Step], dict[str, Any] | None]] = {
    "request": Player._request,
    "repeat": Player._repeat,
    "watch_open": Player._open_watch,
    "watch_collect": Player._collect_watch,
    "watch_close": Player._close_watch,
    "sleep": Player._sleep,
}


def _shown_headers(head: Head, wanted: dict[str, Any], *, is_volatile: bool) -> dict[str, str]:
    """Return the headers in the detail in which the recording shows them."""
    recorded = wanted.get("headers", {})
    return normal.headers(
        head.headers,
        is_volatile=is_volatile,
        has_cors="Access-Control-Allow-Origin" in recorded,
        has_raft=recorded.get("X-Raft-Index", "<").isdigit() or wanted.get("has_raft", False),
    )
