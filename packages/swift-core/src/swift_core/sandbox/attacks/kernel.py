"""Attacks on the kernel's other interfaces."""

from __future__ import annotations

KERNEL: dict[str, str] = {
    "make a ring for input and output": """
escaped_if(call(425, 425, 4, ctypes.create_string_buffer(256)) >= 0)
""",
    "load a program into the kernel": """
attributes = ctypes.create_string_buffer(struct.pack('=IIII', 2, 4, 8, 1), 128)
escaped_if(call(321, 280, 0, attributes, 128) >= 0)
""",
    "count events": """
attributes = ctypes.create_string_buffer(struct.pack('=IIQ', 1, 112, 1), 112)
escaped_if(call(298, 241, attributes, 0, -1, -1, 0) >= 0)
""",
    "become root of a namespace": """
if libc.unshare(0x10000000) == 0:
    escaped_if(True)
""",
    "enter the namespace of another process": """
descriptor = os.open(f'/proc/{victim}/ns/uts', os.O_RDONLY)
escaped_if(libc.setns(descriptor, 0) == 0)
""",
    "mount a file system": """
escaped_if(libc.mount(b'none', outside.encode(), b'tmpfs', 0, None) == 0)
libc.umount2(outside.encode(), 2)
""",
    "open a file system": "escaped_if(call(430, 430, b'tmpfs', 0) >= 0)",
    "take page faults": "escaped_if(call(323, 282, 1) >= 0)",
    "keep a key": """
escaped_if(call(248, 217, b'user', b'swift', b'1', ctypes.c_size_t(1), ctypes.c_int(-2)) >= 0)
""",
    "keep shared memory": """
number = libc.shmget(0, 4096, 0o1600)
number >= 0 and libc.shmctl(number, 0, None)
escaped_if(number >= 0)
""",
    "open a message queue": """
name = arena['mark'].encode()
descriptor = call(240, 180, name, 0o102, 0o600, None)
call(241, 181, name)
escaped_if(descriptor >= 0)
""",
    "raise its own limits": """
import resource
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
if hard != resource.RLIM_INFINITY:
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
escaped_if(True)
""",
    "have a privilege": """
status = open('/proc/self/status').read()
effective = int(status.partition('CapEff:')[2].split()[0], 16)
escaped_if(effective or os.getuid() and 'NoNewPrivs:\\t0' in status)
""",
    "name the machine": """
name = os.uname().nodename.encode()
escaped_if(libc.sethostname(name, ctypes.c_size_t(len(name))) == 0)
""",
    "read the kernel's log": "escaped_if(libc.klogctl(10, None, 0) > 0)",
    "take a file of memory": "escaped_if(os.memfd_create('x') >= 0)",
    "change its personality": "escaped_if(libc.personality(ctypes.c_ulong(0x0040000)) >= 0)",
    "call the kernel by another table": """
import mmap
assert machine == 'x86_64'
code = bytes.fromhex('53b814000000cd805bc3')  # push rbx; mov eax, 20 (getpid); int 0x80; pop rbx; ret
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
getpid = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
escaped_if(getpid() == os.getpid())
""",
    "call the kernel by the x32 table": """
assert machine == 'x86_64'
escaped_if(libc.syscall(ctypes.c_long(0x40000000 + 39)) != -1)
""",
    "take its filter off": """
filter = struct.pack('=HBBI', 6, 0, 0, 0x7FFF0000)
memory = ctypes.create_string_buffer(filter, 8)
libc.prctl(38, 1, 0, 0, 0)
libc.prctl(22, 2, ctypes.create_string_buffer(struct.pack('@HP', 1, ctypes.addressof(memory))), 0, 0)
escaped_if(arena['mark'] in open(secret).read())
""",
}
