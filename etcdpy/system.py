"""What a process of ours asks of the system: descriptors, signals, and the way it ends.

A file of its own because a member, a proxy and a gateway ask for the same.  A graceful stop ends
by the very signal that asked for it, so that whoever waits sees what it expects; as PID 1 it exits
with 0.
Source: spec/cluster.md section 11.
"""

import asyncio
import logging
import os
import resource
import signal

from etcdpy.errors import ConfigError
from etcdpy.logs import NOTICE
from etcdpy.tree import tree

log = logging.getLogger("etcdpy.pkg.osutil")

#: File descriptors that clients never get; etcd's number.
RESERVED_DESCRIPTORS = 150

_SIGNAL_WORDS = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupt"}


def is_compiled() -> bool:
    """Tell whether the hot modules are machine code (setup.py) or plain Python."""
    return not str(tree.__file__).endswith(".py")


def raise_descriptor_limit() -> int:
    """Allow as many descriptors as the system lets this process have; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def client_descriptors() -> int:
    """Raise the limit of descriptors and return how many of them clients may have.

    Raises: ConfigError when the rest would not do for the log, the snapshots and some clients.
    """
    count = raise_descriptor_limit()
    if count <= RESERVED_DESCRIPTORS:
        raise ConfigError(
            f"file descriptor limit[{count}] of etcd process is too low, and should be set higher"
            f" than {RESERVED_DESCRIPTORS} to ensure internal usage"
        )
    return count - RESERVED_DESCRIPTORS


def catch_signals() -> "asyncio.Future[signal.Signals]":
    """Return what will be the signal that asks for a graceful stop; until now it would kill."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[signal.Signals] = loop.create_future()
    for number in _SIGNAL_WORDS:
        loop.add_signal_handler(number, _note_signal, asked, number)
    return asked


def _note_signal(asked: "asyncio.Future[signal.Signals]", number: signal.Signals) -> None:
    """Ask for a graceful stop; a second signal ends the process at once, whatever it waits for."""
    if not asked.done():
        asked.set_result(number)
    for handled in _SIGNAL_WORDS:
        asyncio.get_running_loop().remove_signal_handler(handled)
        signal.signal(handled, signal.SIG_DFL)


def log_signal(received: signal.Signals) -> None:
    """Say which signal ends us."""
    log.log(NOTICE, "received %s signal, shutting down...", _SIGNAL_WORDS[received])


def end_by(received: signal.Signals | None) -> int:
    """End as the signal would have ended us; returns the exit code where there was none."""
    if received is None or os.getpid() == 1:
        return 0
    # Shells and supervisors tell the two apart.
    signal.signal(received, signal.SIG_DFL)
    os.kill(os.getpid(), received)
    return 128 + received
