"""seccomp: the kernel refuses every system call that is not listed, or whose arguments reach beyond this process.

The filter is a program of classic BPF, made here. A call that is refused fails with EPERM (ENOSYS where libraries then
try another way); one made through another machine's call table ends the process. See seccomp(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from swift_core.sandbox.child.libc import PR_SET_SECCOMP, prctl
from swift_core.sandbox.child.syscalls import AUDIT_ARCHITECTURE, NUMBERS, RULED, UNFILTERED

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_REFUSED, _UNKNOWN = _ERROR | errno.EPERM, _ERROR | errno.ENOSYS
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_FILTER_MODE = 2
_X32 = 0x40000000

_CLONE_THREAD, _CLONE_NAMESPACES = 0x00010000, 0x7E020000
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1034)
"""Duplicating, flags and locks; not F_SETOWN and F_SETSIG, which send signals to others."""

_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""Is it a terminal, its size, bytes waiting, blocking, close on exec."""

_PRCTL = (3, 15, 16, 39, 0x53564D41)
"""Is it dumpable, thread name, no new privileges, names of memory; not the death signal."""

_AF_UNIX, _STREAM = 1, 1

Instruction = tuple[int, int, int, int]


def restrict() -> None:
    """Leave this process only harmless system calls; OSError when the kernel refuses or the machine is not known."""
    machine = platform.machine()
    if machine not in NUMBERS:
        raise OSError(errno.ENOSYS, f"no system call table for {machine}")
    code = program(machine, os.getpid())
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    memory = ctypes.create_string_buffer(packed, len(packed))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(memory)))
    prctl(PR_SET_SECCOMP, ctypes.c_ulong(_FILTER_MODE), header)


def program(machine: str, process: int) -> list[Instruction]:
    """Return the filter for a machine and a process, which may signal nobody but itself."""
    numbers = NUMBERS[machine]
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, AUDIT_ARCHITECTURE[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        code += [(_JUMP_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
    for name, number in numbers.items():
        if name not in RULED and name not in UNFILTERED:
            code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for name, body in _ruled(process).items():
        if name in numbers:
            code += [(_JUMP_EQUAL, 0, len(body), numbers[name]), *body]
    return [*code, (_RETURN, 0, 0, _REFUSED)]


def _ruled(process: int) -> dict[str, list[Instruction]]:
    """Return, for each call that is allowed by its arguments, instructions that end in a verdict."""
    return {
        "clone": [
            *_mask(0, _CLONE_THREAD | _CLONE_NAMESPACES),
            (_JUMP_EQUAL, 0, 1, _CLONE_THREAD),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _REFUSED),
        ],
        "clone3": [(_RETURN, 0, 0, _UNKNOWN)],  # glibc then makes threads with clone
        "openat2": [(_RETURN, 0, 0, _UNKNOWN)],
        "open": _no_bare_truncation(1),
        "openat": _no_bare_truncation(2),
        "creat": [(_RETURN, 0, 0, _ALLOW)],
        "kill": _one_of(0, (process,)),
        "tgkill": _one_of(0, (process,)),
        "fcntl": _one_of(1, _FCNTL),
        "ioctl": _one_of(1, _IOCTL),
        "prctl": _one_of(0, _PRCTL),
        "prlimit64": _one_of(0, (0, process)),
        "socketpair": _stream_pair(),
        "sendto": _no_address(),
    }


def _load(argument: int, *, high: bool = False) -> Instruction:
    """Load half of a 64-bit argument; both machines are little-endian."""
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * argument + (4 if high else 0))


def _mask(argument: int, bits: int) -> list[Instruction]:
    return [_load(argument), (_AND, 0, 0, bits)]


def _one_of(argument: int, values: tuple[int, ...]) -> list[Instruction]:
    code = [_load(argument)]
    for value in values:
        code += [(_JUMP_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    return [*code, (_RETURN, 0, 0, _REFUSED)]


def _no_bare_truncation(flags: int) -> list[Instruction]:
    """Refuse O_TRUNC without writing: old Landlock lets it empty files that may only be read."""
    return [
        *_mask(flags, os.O_TRUNC | os.O_ACCMODE),
        (_JUMP_EQUAL, 0, 1, os.O_TRUNC),
        (_RETURN, 0, 0, _REFUSED),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _stream_pair() -> list[Instruction]:
    """Allow connected pairs of streams, which asyncio needs; a datagram socket could be sent elsewhere."""
    return [
        _load(0),
        (_JUMP_EQUAL, 1, 0, _AF_UNIX),
        (_RETURN, 0, 0, _REFUSED),
        *_mask(1, 0xF),
        (_JUMP_EQUAL, 0, 1, _STREAM),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSED),
    ]


def _no_address() -> list[Instruction]:
    return [
        _load(4),
        (_JUMP_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, _REFUSED),
        _load(4, high=True),
        (_JUMP_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSED),
    ]
