"""What users and passwords cost: the same requests with auth off and on, as root.

etcd checks the password with each request, which takes a processor some 60 ms.
"""

import base64
from collections.abc import Iterator, Sequence

from benchmarks import throughput
from benchmarks.samples import Sample
from benchmarks.throughput import KEYS, Case
from benchmarks.wrk import Requests
from tests.harness.client import Connection
from tests.harness.process import Member, ServerError

PASSWORD = "benchmark"
CONNECTIONS = 16
SECONDS_MIN = 3  # etcd answers some 30 such requests a second
CREDENTIALS = "Basic " + base64.b64encode(f"root:{PASSWORD}".encode()).decode()


def measure(members: Sequence[Member], seconds: int, rounds: int) -> Iterator[Sample]:
    """Measure with auth off, switch it on, and measure again."""
    urls = throughput.targets(members)
    for case in _cases("off", ""):
        yield from throughput.measure(urls, case, seconds, rounds)
    for member in members:
        _enable(member)
    for case in _cases("on", CREDENTIALS):
        yield from throughput.measure(urls, case, max(seconds, SECONDS_MIN), rounds)


def _cases(state: str, credentials: str) -> list[Case]:
    return [
        Case(f"GET, auth {state}", Requests("get", authorization=credentials), CONNECTIONS),
        Case(f"PUT, auth {state}", Requests("put", KEYS, authorization=credentials), CONNECTIONS),
    ]


def _enable(member: Member) -> None:
    user = f'{{"user": "root", "password": "{PASSWORD}"}}'
    with Connection(member.client_url) as connection:
        for path, body in (("users/root", user), ("enable", "")):
            answer = connection.request("PUT", f"/v2/auth/{path}", body)
            if answer.status not in (200, 201):
                raise ServerError(f"{member.kind}: PUT {path} was answered with {answer.status}")
