"""The filter, run by an interpreter of classic BPF: also for the machine that this is not."""

import errno
import struct

import pytest

from swift_core.sandbox.child.seccomp import program
from swift_core.sandbox.child.syscalls import AUDIT_ARCHITECTURE, NUMBERS

ALLOWED, ENDED, PROCESS = 0x7FFF0000, 0x80000000, 4242
REFUSED, UNKNOWN = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS

machines = pytest.mark.parametrize("machine", sorted(NUMBERS))

# numbers that the kernel's tables give to calls that are not in ours: x86_64, aarch64
REFUSED_NUMBERS = {
    "execve": (59, 221), "execveat": (322, 281), "socket": (41, 198), "connect": (42, 203), "bind": (49, 200),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "unshare": (272, 97),
    "setns": (308, 268), "mount": (165, 40), "bpf": (321, 280), "io_uring_setup": (425, 425), "keyctl": (250, 219),
    "userfaultfd": (323, 282), "memfd_create": (319, 279), "shmget": (29, 194), "chmod": (90, 53),
    "utimensat": (280, 88), "truncate": (76, 45), "setpriority": (141, 140), "sched_setaffinity": (203, 122),
    "chroot": (161, 51),
    "personality": (135, 92), "seccomp": (317, 277), "capset": (126, 91), "open_by_handle_at": (304, 265),
}  # fmt: skip


def verdict(machine, number, *arguments, architecture=None):
    """Run the filter on one system call."""
    data = struct.pack(
        "=IIQ6Q",
        number,
        AUDIT_ARCHITECTURE[machine] if architecture is None else architecture,
        0,
        *(*arguments, *[0] * (6 - len(arguments))),
    )
    code, place, value = program(machine, PROCESS), 0, 0
    while True:
        operation, yes, no, operand = code[place]
        place += 1
        if operation == 0x20:
            (value,) = struct.unpack_from("=I", data, operand)
        elif operation == 0x54:
            value &= operand
        elif operation == 0x15:
            place += yes if value == operand else no
        elif operation == 0x35:
            place += yes if value >= operand else no
        else:
            assert operation == 0x06
            return operand


@machines
def test_reading_and_writing_is_allowed(machine):
    for name in ("read", "write", "close", "mmap", "futex", "exit_group", "getrandom"):
        assert verdict(machine, NUMBERS[machine][name]) == ALLOWED


@machines
@pytest.mark.parametrize("name", REFUSED_NUMBERS)
def test_what_reaches_out_is_refused(machine, name):
    number = REFUSED_NUMBERS[name][machine == "aarch64"]
    assert verdict(machine, number, 1, 1, 1, 1, 1, 1) == REFUSED


@machines
def test_a_call_that_will_be_invented_is_refused(machine):
    assert verdict(machine, 5000) == REFUSED


@machines
def test_calls_through_another_table_end_the_process(machine):
    assert verdict(machine, 0, architecture=0x40000003) == ENDED
    if machine == "x86_64":
        assert verdict(machine, 0x40000000 + 39) == ENDED


@machines
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("clone", (0x3D0F00,), ALLOWED),  # what glibc starts a thread with
        ("clone", (0x11,), REFUSED),  # fork
        ("clone", (0x10000 | 0x10000000,), REFUSED),  # a namespace with a thread
        ("kill", (PROCESS, 9), ALLOWED),
        ("kill", (1, 9), REFUSED),
        ("kill", (2**64 - 1, 9), REFUSED),
        ("tgkill", (PROCESS, PROCESS, 6), ALLOWED),
        ("tgkill", (PROCESS + 1, 0, 6), REFUSED),
        ("fcntl", (3, 1030, 0), ALLOWED),
        ("fcntl", (3, 8, 1), REFUSED),  # F_SETOWN
        ("fcntl", (3, 10, 9), REFUSED),  # F_SETSIG
        ("ioctl", (0, 0x5401), ALLOWED),
        ("ioctl", (0, 0x5412), REFUSED),  # TIOCSTI types for the user
        ("ioctl", (0, 0x8901), REFUSED),  # FIOSETOWN
        ("prctl", (15,), ALLOWED),
        ("prctl", (1, 0), REFUSED),  # the death signal
        ("prctl", (22, 2), REFUSED),
        ("prlimit64", (0, 7), ALLOWED),
        ("prlimit64", (PROCESS + 1, 7), REFUSED),
        ("socketpair", (1, 1), ALLOWED),
        ("socketpair", (1, 1 | 0x80000), ALLOWED),
        ("socketpair", (1, 2), REFUSED),
        ("socketpair", (2, 1), REFUSED),
        ("sendto", (3, 1, 1, 0, 0, 0), ALLOWED),
        ("sendto", (3, 1, 1, 0, 1, 0), REFUSED),
        ("sendto", (3, 1, 1, 0, 2**40, 0), REFUSED),
        ("openat", (0, 1, 0o1000 | 1), ALLOWED),
        ("openat", (0, 1, 0o1000), REFUSED),  # empties what it may only read
        ("openat", (0, 1, 0), ALLOWED),
    ],
)
def test_calls_are_judged_by_their_arguments(machine, name, arguments, expected):
    assert verdict(machine, NUMBERS[machine][name], *arguments) == expected


@machines
def test_threads_are_made_by_the_older_call(machine):
    assert verdict(machine, 435) == UNKNOWN


@machines
def test_the_filter_is_short_enough_for_the_kernel(machine):
    assert len(program(machine, PROCESS)) < 4096
