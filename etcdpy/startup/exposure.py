"""Files that others on this machine can reach: what is said of them at the start.

A file of its own because none of it stops a start, as none does in etcd: it is for the operator to
decide who may log in.  The data directory is judged as etcd judges it and in its words; private
keys that everybody can read etcd takes in silence.
Source: spec/config.md section 5, spec/tls.md section 2.
"""

import logging
import os
import stat

from etcdpy.urls import go_quote

log = logging.getLogger("etcdpy.pkg.fileutil")

_PRIVATE = 0o700
_OTHERS = stat.S_IROTH | stat.S_IWOTH
_RECOMMENDED = stat.filemode(stat.S_IFREG | _PRIVATE)


def warn_of_directory(path: str) -> None:
    """Say that a directory with data, if it exists, is not its owner's alone."""
    mode = _mode_of(path)
    if mode is not None and stat.S_ISDIR(mode) and stat.S_IMODE(mode) & 0o777 != _PRIVATE:
        log.warning(
            'check file permission: directory %s exist, but the permission is "%s". The recommended'
            ' permission is "%s" to prevent possible unprivileged access to the data.',
            go_quote(path),
            stat.filemode(mode),
            _RECOMMENDED,
        )


def warn_of_key(path: str) -> None:
    """Say that everybody on this machine can read or replace a private key."""
    mode = _mode_of(path)
    if mode is not None and mode & _OTHERS:
        log.warning(
            'check file permission: key file %s is open to everybody: its permission is "%s"',
            go_quote(path),
            stat.filemode(mode),
        )


def _mode_of(path: str) -> int | None:
    """Return what kind of file and whose it is, None where it cannot be seen."""
    try:
        return os.stat(path).st_mode
    except (OSError, ValueError):
        return None
