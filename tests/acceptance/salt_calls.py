"""Salt's functions for etcd, one after the other, as a minion calls them: `salt_calls.py CONFIG`.

Prints what each returned, one JSON text a line.  Run by a Python that has Salt.
"""

import json
import sys
from typing import Any

import salt.client
import salt.config

CALLS: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("set", ["/site/name", "one"], {}),
    ("get", ["/site/name"], {}),
    ("get", ["/site/none"], {}),
    ("update", [{"site": {"port": "80", "deep": {"er": "x"}}}], {}),
    ("set", ["/site/folder", None], {"ttl": 60, "directory": True}),
    ("ls", ["/site"], {}),
    ("ls", ["/none"], {}),
    ("tree", ["/site"], {}),
    ("get", ["/site"], {"recurse": True}),
    ("watch", ["/site/none"], {"timeout": 1}),
    ("rm", ["/site/name"], {}),
    ("rm", ["/site"], {}),
    ("rm", ["/site"], {"recurse": True}),
    ("tree", ["/site"], {}),
]


def main() -> None:
    """Call all with the profile `store` of the minion's configuration."""
    caller = salt.client.Caller(mopts=salt.config.minion_config(sys.argv[1]))
    for name, words, options in CALLS:
        told = caller.cmd(f"etcd.{name}", *words, profile="store", **options)
        print(json.dumps({"call": name, "of": words[0], "told": told}))


if __name__ == "__main__":
    main()
