"""Tells systemd that the service is up, where systemd has asked for it (`Type=notify`).

A file of its own because both a member and a gateway are services.  The protocol is one datagram.
Source: spec/cluster.md section 6; sd_notify(3).
"""

import logging
import os
import socket

from etcdpy import logs

log = logging.getLogger("etcdpy.etcdmain")


def notify_systemd() -> None:
    """Say that clients are served; what goes wrong is said, and is no reason to stop."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path  # an abstract one
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect(address)
            sender.sendall(b"READY=1")
    except OSError as error:
        event = "failed to notify systemd for readiness"
        log.error("%s: %s", event, error, extra=logs.fields(event, error=str(error)))
