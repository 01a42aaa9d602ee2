"""Attacks on the sandbox: programs that try to get out, one thing each, and print ESCAPED when they do.

They run in the sandbox of `swift doctor sandbox` and of the tests, against an arena of things made to be attacked. An
attack finds them in `arena`; whatever it raises means that it was contained.
"""

from __future__ import annotations

from swift_core.sandbox.attacks.bombs import BOMBS
from swift_core.sandbox.attacks.files import FILES
from swift_core.sandbox.attacks.kernel import KERNEL
from swift_core.sandbox.attacks.network import NETWORK
from swift_core.sandbox.attacks.processes import PROCESSES

ATTACKS: dict[str, str] = {**FILES, **NETWORK, **PROCESSES, **KERNEL}
"""What it tries -> the program."""

__all__ = ["ATTACKS", "BOMBS", "PRELUDE"]

PRELUDE = """
import ctypes, errno, json, os, signal, socket, struct, sys
arena = json.load(sys.stdin)
secret, outside, victim = arena["secret"], arena["outside"], arena["victim"]
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
machine = os.uname().machine
def call(x86_64, aarch64, *arguments):
    result = libc.syscall(ctypes.c_long(x86_64 if machine == "x86_64" else aarch64), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result
def escaped_if(yes):
    print("ESCAPED" if yes else "contained", flush=True)
"""
"""What stands before each attack."""
