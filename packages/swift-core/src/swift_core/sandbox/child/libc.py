"""System calls that Python has no function for."""

from __future__ import annotations

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38


def system_call(number: int, *arguments: object) -> int:
    """Make a system call and return its result; OSError when it fails."""
    return _checked(LIBC.syscall(ctypes.c_long(number), *arguments))


def prctl(option: int, *arguments: object) -> int:
    """Change a property of this process; OSError when the kernel refuses."""
    given = [*arguments, *[ctypes.c_ulong(0)] * (4 - len(arguments))]
    return _checked(LIBC.prctl(ctypes.c_int(option), *given))


def unshare(flags: int) -> None:
    """Leave namespaces; OSError when the kernel refuses."""
    _checked(LIBC.unshare(ctypes.c_int(flags)))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)
