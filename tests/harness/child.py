"""Become a server that dies with its parent: `child.py PARENT FILE_SIZE OPEN_FILES COMMAND`.

A program of its own because what it does belongs between fork and exec, where a parent with
threads may not run Python.  A limit of 0 leaves that limit as it is.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, limit it, then execute the command."""
    parent, file_size_bytes, open_files = (int(word) for word in sys.argv[1:4])
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
    if file_size_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size_bytes, file_size_bytes))
    if open_files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    command = sys.argv[4:]
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
