"""Whether a process is a member or a proxy: what its directory was used for, then its settings.

A file of its own because it is decided before anything is opened, and once for all: a directory
that holds one of the two is never made the other.
Source: spec/cluster.md section 9; the real etcd on the directories of both.
"""

import logging
import os
from enum import Enum

from etcdpy.errors import ConfigError, FatalError
from etcdpy.logs import NOTICE
from etcdpy.settings.config import Config
from etcdpy.settings.proxy import OFF
from etcdpy.store.datadir import FORMAT_NAME

log = logging.getLogger("etcdpy.etcdmain")

#: The part of a data directory that is a proxy's.
PROXY_NAME = "proxy"
_MEMBER_NAMES = {FORMAT_NAME, "member"}


class Role(Enum):
    """What a process is."""

    MEMBER = 1
    PROXY = 2


def find_role(config: Config) -> Role:
    """Return what to start.

    Raises: ConfigError for a directory that can't be read; FatalError for one that is both.
    """
    try:
        names = set(os.listdir(config.data_dir))
    except FileNotFoundError:
        names = set()
    except OSError as error:
        raise ConfigError(f"error listing data dir: {config.data_dir}") from error
    is_member, is_proxy = bool(names & _MEMBER_NAMES), PROXY_NAME in names
    if is_member and is_proxy:
        raise FatalError("invalid datadir. Both member and proxy directories exist.")
    if is_proxy:
        log.log(
            NOTICE, "the server is already initialized as proxy before, starting as etcd proxy..."
        )
        return Role.PROXY
    return Role.MEMBER if is_member or config.proxy == OFF else Role.PROXY
