"""Numbers of the system calls that a confined process may make, by machine.

From the kernel's `asm/unistd_64.h` (x86_64) and `asm-generic/unistd.h` (aarch64); a number, once given, never changes.
What is not here is refused.
"""

from __future__ import annotations

# fmt: off
_X86_64 = {
    "read": 0, "write": 1, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "newfstatat": 262, "statx": 332,
    "poll": 7, "ppoll": 271, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "mremap": 25,
    "madvise": 28, "msync": 26, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
    "rt_sigpending": 127, "rt_sigtimedwait": 128, "rt_sigsuspend": 130, "sigaltstack": 131, "pread64": 17,
    "pwrite64": 18, "readv": 19, "writev": 20, "preadv": 295, "pwritev": 296, "preadv2": 327, "pwritev2": 328,
    "access": 21, "faccessat": 269, "faccessat2": 439, "pipe": 22, "pipe2": 293, "select": 23, "pselect6": 270,
    "sched_yield": 24, "dup": 32, "dup2": 33, "dup3": 292, "pause": 34, "nanosleep": 35, "clock_nanosleep": 230,
    "getitimer": 36, "setitimer": 38, "alarm": 37, "getpid": 39, "gettid": 186, "getppid": 110, "getuid": 102,
    "geteuid": 107, "getgid": 104, "getegid": 108, "getgroups": 115, "getresuid": 118, "getresgid": 120,
    "getpgrp": 111, "getcpu": 309, "sendfile": 40, "exit": 60, "exit_group": 231, "uname": 63, "fsync": 74,
    "fdatasync": 75, "ftruncate": 77, "getdents64": 217, "getdents": 78, "getcwd": 79, "chdir": 80, "fchdir": 81,
    "rename": 82, "renameat": 264, "renameat2": 316, "mkdir": 83, "mkdirat": 258, "rmdir": 84, "unlink": 87,
    "unlinkat": 263, "symlink": 88, "symlinkat": 266, "link": 86, "linkat": 265, "readlink": 89,
    "readlinkat": 267, "umask": 95, "gettimeofday": 96, "time": 201, "clock_gettime": 228, "clock_getres": 229,
    "getrusage": 98, "times": 100, "sysinfo": 99, "getrlimit": 97, "statfs": 137, "fstatfs": 138,
    "arch_prctl": 158, "set_tid_address": 218, "set_robust_list": 273, "futex": 202, "futex_waitv": 449,
    "rseq": 334, "membarrier": 324, "restart_syscall": 219, "epoll_create": 213, "epoll_create1": 291,
    "epoll_ctl": 233, "epoll_wait": 232, "epoll_pwait": 281, "epoll_pwait2": 441, "eventfd": 284, "eventfd2": 290,
    "timerfd_create": 283, "timerfd_settime": 286, "timerfd_gettime": 287, "signalfd": 282, "signalfd4": 289,
    "timer_create": 222, "timer_settime": 223, "timer_gettime": 224, "timer_getoverrun": 225, "timer_delete": 226,
    "getrandom": 318, "sched_getaffinity": 204, "sched_getparam": 143, "sched_getscheduler": 145,
    "sched_get_priority_max": 146, "sched_get_priority_min": 147, "recvfrom": 45, "recvmsg": 47, "sendmsg": 46,
    "shutdown": 48, "getsockname": 51, "getpeername": 52, "getsockopt": 55, "setsockopt": 54, "fadvise64": 221,
    "copy_file_range": 326, "flock": 73, "close_range": 436, "capget": 125, "wait4": 61, "waitid": 247,
    "get_mempolicy": 239, "clone": 56, "clone3": 435, "open": 2, "openat": 257, "openat2": 437, "creat": 85,
    "kill": 62, "tgkill": 234, "fcntl": 72, "ioctl": 16, "prctl": 157, "prlimit64": 302, "socketpair": 53,
    "sendto": 44, "capset": 126,
}
_AARCH64 = {
    "read": 63, "write": 64, "close": 57, "fstat": 80, "newfstatat": 79, "statx": 291, "ppoll": 73, "lseek": 62,
    "mmap": 222, "mprotect": 226, "munmap": 215, "brk": 214, "mremap": 216, "madvise": 233, "msync": 227,
    "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "rt_sigpending": 136, "rt_sigtimedwait": 137,
    "rt_sigsuspend": 133, "sigaltstack": 132, "pread64": 67, "pwrite64": 68, "readv": 65, "writev": 66,
    "preadv": 69, "pwritev": 70, "preadv2": 286, "pwritev2": 287, "faccessat": 48, "faccessat2": 439, "pipe2": 59,
    "pselect6": 72, "sched_yield": 124, "dup": 23, "dup3": 24, "nanosleep": 101, "clock_nanosleep": 115,
    "getitimer": 102, "setitimer": 103, "getpid": 172, "gettid": 178, "getppid": 173, "getuid": 174,
    "geteuid": 175, "getgid": 176, "getegid": 177, "getgroups": 158, "getresuid": 148, "getresgid": 150,
    "getcpu": 168, "sendfile": 71, "exit": 93, "exit_group": 94, "uname": 160, "fsync": 82, "fdatasync": 83,
    "ftruncate": 46, "getdents64": 61, "getcwd": 17, "chdir": 49, "fchdir": 50, "renameat": 38, "renameat2": 276,
    "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37, "readlinkat": 78, "umask": 166,
    "gettimeofday": 169, "clock_gettime": 113, "clock_getres": 114, "getrusage": 165, "times": 153,
    "sysinfo": 179, "getrlimit": 163, "statfs": 43, "fstatfs": 44, "set_tid_address": 96, "set_robust_list": 99,
    "futex": 98, "futex_waitv": 449, "rseq": 293, "membarrier": 283, "restart_syscall": 128, "epoll_create1": 20,
    "epoll_ctl": 21, "epoll_pwait": 22, "epoll_pwait2": 441, "eventfd2": 19, "timerfd_create": 85,
    "timerfd_settime": 86, "timerfd_gettime": 87, "signalfd4": 74, "timer_create": 107, "timer_settime": 110,
    "timer_gettime": 108, "timer_getoverrun": 109, "timer_delete": 111, "getrandom": 278,
    "sched_getaffinity": 123, "sched_getparam": 121, "sched_getscheduler": 120, "sched_get_priority_max": 125,
    "sched_get_priority_min": 126, "recvfrom": 207, "recvmsg": 212, "sendmsg": 211, "shutdown": 210,
    "getsockname": 204, "getpeername": 205, "getsockopt": 209, "setsockopt": 208, "fadvise64": 223,
    "copy_file_range": 285, "flock": 32, "close_range": 436, "capget": 90, "wait4": 260, "waitid": 95,
    "get_mempolicy": 236, "clone": 220, "clone3": 435, "openat": 56, "openat2": 437, "kill": 129, "tgkill": 131,
    "fcntl": 25, "ioctl": 29, "prctl": 167, "prlimit64": 261, "socketpair": 199, "sendto": 206, "capset": 91,
}
# fmt: on

NUMBERS = {"x86_64": _X86_64, "aarch64": _AARCH64}
"""Machine, as `platform.machine()` says it -> name -> number."""

AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""What a seccomp filter sees of the machine."""

RULED = (
    "clone",
    "clone3",
    "open",
    "openat",
    "openat2",
    "creat",
    "kill",
    "tgkill",
    "fcntl",
    "ioctl",
    "prctl",
    "prlimit64",
    "socketpair",
    "sendto",
)
"""Calls that are allowed by their arguments alone."""

UNFILTERED = ("capset",)
"""Calls that confining itself needs."""
