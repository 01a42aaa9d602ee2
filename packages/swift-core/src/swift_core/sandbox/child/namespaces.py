"""Namespaces: a process that has its own users, network, IPC, host name and processes, and sees none of the others'."""

from __future__ import annotations

import os
import signal

from swift_core.sandbox.child.libc import PR_SET_PDEATHSIG, prctl, unshare

_USER, _NETWORK, _IPC, _HOST_NAME, _PROCESSES = 0x10000000, 0x40000000, 0x08000000, 0x04000000, 0x20000000


def leave() -> None:
    """Go on as the first process of new namespaces; OSError when the kernel does not allow it.

    What called goes on in a new process; the old one waits for it, and ends as it ends.
    """
    user, group = os.getuid(), os.getgid()
    unshare(_USER | _NETWORK | _IPC | _HOST_NAME | _PROCESSES)
    _map(user, group)
    inner = os.fork()
    if inner:
        _end_like(inner)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _map(user: int, group: int) -> None:
    """Keep the numbers of user and group, and no others."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _end_like(inner: int) -> None:
    """Wait for the inner process, and end with its exit code or by its signal."""
    for descriptor in (0, 1):
        os.close(descriptor)
    _, status = os.waitpid(inner, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))
