"""Flusher: Linux makes a file durable while this process goes on, and says when it has.

A file of its own because it alone goes below Python's `os`, which has no asynchronous I/O.  A
thread could do it as well, but needs the interpreter to begin and again to end, and two wake-ups:
with one a PUT of 64 connections costs 63 µs of processor time, without it 48.
Source: io_submit(2) with IOCB_CMD_FDSYNC (since Linux 4.18), eventfd(2).
"""

import ctypes
import os
import platform
import struct
import sys
from typing import Self

#: The numbers of io_setup, io_destroy, io_getevents and io_submit, by machine.
_CALLS = {"x86_64": (206, 207, 208, 209), "aarch64": (0, 1, 4, 2)}
# One more than is ever open: a context needs room.
_OPEN_MAX = 2
# struct iocb: data, key, rw_flags, opcode, priority, handle, buffer, length, offset, reserved,
# flags, descriptor to tell.
_REQUEST = struct.Struct("=QIIHhIQQqQII")
_FDSYNC, _TELL = 3, 1
# struct io_event: data, request, result, second result.
_EVENT = struct.Struct("=QQqq")


class KernelFlusher:
    """One file at a time; see `Flusher`."""

    def __init__(self) -> None:
        """Raises: OSError where the system has nothing of the kind, or forbids it."""
        calls = _CALLS.get(platform.machine())
        # The machine is the system's; a process of 32 bits has other numbers.
        if sys.platform != "linux" or calls is None or sys.maxsize < 1 << 32:
            raise OSError(f"no asynchronous I/O on {sys.platform} {platform.machine()}")
        # PyDLL keeps the interpreter: none of the calls but the last waits, and others would have
        # it meanwhile.
        self._call = ctypes.PyDLL(None, use_errno=True).syscall
        self._call.restype = ctypes.c_long
        self._setup, self._destroy, self._get_events, self._submit = map(ctypes.c_long, calls)
        self._context = ctypes.c_ulong(0)
        self._checked(self._setup, ctypes.c_long(_OPEN_MAX), ctypes.byref(self._context))
        try:
            self._told = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError:
            self._checked(self._destroy, self._context)
            raise
        self._one = ctypes.c_long(1)
        self._request = ctypes.create_string_buffer(_REQUEST.size)
        self._requests = (ctypes.c_void_p * 1)(ctypes.addressof(self._request))
        self._event = ctypes.create_string_buffer(_EVENT.size)

    @classmethod
    def create(cls) -> Self | None:
        """Return one, None where there can't be one."""
        try:
            return cls()
        except OSError:
            return None

    def fileno(self) -> int:
        """See Flusher."""
        return self._told

    def begin(self, handle: int) -> None:
        """See Flusher."""
        _REQUEST.pack_into(
            self._request, 0, 0, 0, 0, _FDSYNC, 0, handle, 0, 0, 0, 0, _TELL, self._told
        )
        self._checked(self._submit, self._context, self._one, self._requests)
        # What was asked for begins on this processor, once it is free for a moment.
        os.sched_yield()

    def end(self) -> None:
        """See Flusher."""
        os.eventfd_read(self._told)
        found = self._checked(
            self._get_events, self._context, self._one, self._one, self._event, None
        )
        assert found == 1
        result: int = _EVENT.unpack(self._event)[2]
        if result < 0:
            raise OSError(-result, os.strerror(-result))

    def wait(self, handle: int) -> None:
        """See Flusher."""
        os.fdatasync(handle)

    def close(self) -> None:
        """See Flusher."""
        self._checked(self._destroy, self._context)
        os.close(self._told)

    def _checked(self, *arguments: object) -> int:
        """Return what a system call did.  Raises: OSError if it failed."""
        result: int = self._call(*arguments)
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result
