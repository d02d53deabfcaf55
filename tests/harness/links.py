"""Peer links that a test can cut: what it tells the proxy between the members.

`Links` starts the proxy (`link_proxy`, where the rules' meaning is told), gives each member an
address to advertise, and holds the rules by ordered pair of names.  In a one-way cut of (a, b)
what a says does not reach b; what b says still reaches a.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Self

from tests.harness.link_proxy import ANYBODY, CLEAR, Cut, Pair, Rule
from tests.harness.ports import free_port
from tests.harness.process import ROOT, tied

PORT_TRIES = 5
EXIT_DEADLINE_S = 10.0


class Links:
    """The links between the members of one cluster.  Made and closed in the main thread."""

    def __init__(self, seed: str = "0") -> None:
        self._rules: dict[Pair, Rule] = {}
        self._process = subprocess.Popen(
            tied([sys.executable, "-m", "tests.harness.link_proxy", seed]),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def listen(self, name: str, target_port: int) -> int:
        """Return a port that leads to the member `name`, which listens at `target_port`.

        A member may have several; the last target is that of all of them.
        """
        for _ in range(PORT_TRIES - 1):
            port = free_port()
            if not self._tell(do="listen", name=name, port=port, target=target_port):
                return port
        raise OSError(f"no port was free {PORT_TRIES} times in a row")

    def close_port(self, port: int) -> None:
        """Have one of the ports of a member lead nowhere any more."""
        self._tell(do="close", port=port)

    def identify(self, name: str, member_id: str) -> None:
        """Say which id `name` has, as `GET /v2/members` shows it; rules need it."""
        self._tell(do="identify", name=name, member_id=member_id)

    def rule(self, sender: str, to: str) -> Rule:
        """Return the rule for what `sender` says to `to`."""
        return self._rules.get((sender, to), CLEAR)

    def set_rules(self, rules: Mapping[Pair, Rule]) -> None:
        """Set the rules of some pairs, and leave those of the others as they are."""
        self._rules.update(rules)
        self._apply()

    def cut(self, pairs: Iterable[Pair], how: Cut = Cut.STALL) -> None:
        """Cut what is said from the first to the second of each pair."""
        self.set_rules(dict.fromkeys(pairs, Rule(cut=how)))

    def heal(self) -> None:
        """Clear all rules."""
        self._rules.clear()
        self._apply()

    def split(self, *sides: Iterable[str], how: Cut = Cut.STALL) -> None:
        """Cut every link between members of different sides, both ways."""
        self.cut(between(*sides), how)

    def _apply(self) -> None:
        rules = [(*pair, asdict(rule)) for pair, rule in self._rules.items()]
        self._tell(do="rules", rules=rules)

    def _tell(self, **command: object) -> str:
        """Have the proxy obey; return what went wrong, "" if nothing did."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise OSError("the proxy between the members has ended")
        error: str = json.loads(answer)["error"]
        return error

    def close(self) -> None:
        """End the proxy, and with it all links."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(EXIT_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def between(*sides: Iterable[str]) -> list[Pair]:
    """Return the ordered pairs of members of different sides.

    Who did not say who it is (a request for the list of members) is on nobody's side.
    """
    groups = [list(side) for side in sides]
    return [
        (one, other)
        for group in groups
        for one in group
        for others in groups
        if others is not group
        for other in others
    ]


def isolation(name: str, others: Iterable[str]) -> list[Pair]:
    """Return the pairs that leave `name` alone, deaf to strangers too."""
    return [*between([name], others), (ANYBODY, name)]
