"""The file in which a proxy keeps where the members are: `DATA/proxy/cluster`.

A file of its own because its form is etcd's, byte for byte, so that a proxy of either kind goes on
with what the other has left.  It is written aside, synced, and renamed.
Source: spec/cluster.md sections 5 and 9.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from etcdpy.errors import ConfigError

NAME = "cluster"
_ASIDE = ".bak"
_FIELD = "PeerURLs"


class StoredCluster:
    """The cluster file of one proxy."""

    def __init__(self, directory: Path) -> None:
        """`directory` is the proxy's part of its data directory; it is made if it is missing.

        Raises: ConfigError.
        """
        self.path = directory / NAME
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"mkdir {directory}: {_reason(error)}") from error

    def read(self) -> tuple[str, ...] | None:
        """Return the peer URLs that were known last, None if none ever were.

        Raises: ConfigError for a file that is damaged or can't be read.
        """
        try:
            content = json.loads(self.path.read_bytes())
            urls = content[_FIELD]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"open {self.path}: {_reason(error)}") from error
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ConfigError(f"{self.path} is no list of peer URLs: {error}") from error
        if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
            raise ConfigError(f"{self.path} is no list of peer URLs: {_FIELD} has other things")
        return tuple(urls)

    def write(self, peer_urls: Sequence[str]) -> None:
        """Keep the peer URLs.  Raises: OSError."""
        aside = self.path.with_name(self.path.name + _ASIDE)
        data = json.dumps({_FIELD: list(peer_urls)}, separators=(",", ":")).encode()
        number = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(number)
        os.replace(aside, self.path)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
