"""Where etcdpy answers otherwise than the recordings, each with its reason: the whole list.

A test fails on any difference that is not here, and on any entry that is no difference any more.
`docs/differences.md` has the same list for users.
"""

from tests.conformance.transcript import Step

# Scenarios that cannot pass as a whole yet.
MISSING = {
    "auth_guest_denied": "users and roles (/v2/auth) are not there yet",
}


def expected(steps: list[Step]) -> list[Step]:
    """Return the recorded steps as etcdpy is to answer them.

    etcd sends quorum reads through its log, etcdpy does not: where a recording shows the raft
    index, each quorum read up to then has moved it by one there and not here.
    """
    quorum_reads = 0
    changed = []
    for step in steps:
        quorum_reads += _is_quorum_read(step)
        changed.append(_with_raft_index(step, -quorum_reads))
    return changed


def _is_quorum_read(step: Step) -> bool:
    request = step.get("request", {"method": ""})
    return request["method"] == "GET" and "quorum=true" in request["path"]


def _with_raft_index(step: Step, shift: int) -> Step:
    response = step.get("response", {})
    index = response.get("headers", {}).get("X-Raft-Index", "")
    if not index.isdigit():
        return step
    headers = {**response["headers"], "X-Raft-Index": str(int(index) + shift)}
    return {**step, "response": {**response, "headers": headers}}
