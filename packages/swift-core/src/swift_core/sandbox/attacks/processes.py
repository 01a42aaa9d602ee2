"""Attacks on other processes, and by new ones."""

from __future__ import annotations

PROCESSES: dict[str, str] = {
    "start a program": "import subprocess; escaped_if(subprocess.run(['/bin/true']).returncode == 0)",
    "start a shell": "escaped_if(os.system('exit 7') >> 8 == 7)",
    "start a shell through libc": "escaped_if(libc.system(b'exit 7') >> 8 == 7)",
    "become another program": "os.execv('/bin/echo', ['echo', 'ESCAPED'])",
    "become a program in memory": """
program = os.memfd_create('program')
os.write(program, open('/bin/echo', 'rb').read())
os.execve(program, ['echo', 'ESCAPED'], {})
""",
    "fork": """
child = os.fork()
if child == 0:
    os._exit(7)
escaped_if(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7)
""",
    "fork by its number": """
child = call(56, 220, 17, 0, 0, 0, 0)
if child == 0:
    os._exit(0)
escaped_if(child > 0)
""",
    "spawn": "escaped_if(os.posix_spawn('/bin/true', ['true'], {}))",
    "signal another process": "os.kill(victim, 0); escaped_if(True)",
    "signal the parent": "os.kill(arena['host'], 0); escaped_if(True)",
    "signal a group": "os.killpg(arena['group'], 0); escaped_if(True)",
    "signal a thread of another process": "call(234, 131, victim, victim, 0); escaped_if(True)",
    "queue a signal": """
information = ctypes.create_string_buffer(struct.pack('=iii', 0, 0, -1), 128)
call(129, 138, victim, 0, information)
escaped_if(True)
""",
    "signal by a descriptor of a process": "signal.pidfd_send_signal(os.pidfd_open(victim), 0); escaped_if(True)",
    "let the kernel send a signal": """
import fcntl
reader, writer = os.pipe()
fcntl.fcntl(reader, fcntl.F_SETOWN, victim)
escaped_if(fcntl.fcntl(reader, fcntl.F_GETOWN) == victim)
""",
    "trace another process": """
result = libc.ptrace(0x4206, victim, 0, 0)
result == 0 and libc.ptrace(17, victim, 0, 0)
escaped_if(result == 0)
""",
    "read the memory of another process": """
place = int(open(f'/proc/{victim}/maps').read().partition('-')[0], 16)
into = ctypes.create_string_buffer(8)
local = struct.pack('=QQ', ctypes.addressof(into), 8)
numbers = [ctypes.c_ulong(number) for number in (1, 0)]
escaped_if(call(310, 270, victim, local, numbers[0], struct.pack('=QQ', place, 8), *numbers) == 8)
""",
    "read the memory of the parent": """
place = int(open(f'/proc/{victim}/maps').read().partition('-')[0], 16)
memory = os.open(f'/proc/{victim}/mem', os.O_RDONLY)
escaped_if(len(os.pread(memory, 8, place)) == 8)
""",
    "read the environment of another process": """
escaped_if(arena['mark'].encode() in open(f'/proc/{victim}/environ', 'rb').read())
""",
    "read the command line of another process": "escaped_if(open(f'/proc/{victim}/cmdline').read())",
    "list the processes": "escaped_if(any(name.isdecimal() for name in os.listdir('/proc')))",
    "read a secret in the environment": "escaped_if(arena['mark'] in os.environ.get('SWIFT_SECRET', ''))",
    "read a secret in its own first environment": """
escaped_if(arena['mark'].encode() in open('/proc/self/environ', 'rb').read())
""",
    "steal a descriptor": """
descriptor = call(434, 434, victim, 0)
escaped_if(call(438, 438, descriptor, 0, 0) >= 0)
""",
    "change another's priority": "os.setpriority(os.PRIO_PROCESS, victim, 1); escaped_if(True)",
    "change another's processors": "os.sched_setaffinity(victim, os.sched_getaffinity(0)); escaped_if(True)",
    "change another's limits": """
import resource
escaped_if(resource.prlimit(victim, resource.RLIMIT_NOFILE))
""",
    "compare with another process": "escaped_if(call(312, 272, os.getpid(), victim, 1, 0, 0) >= 0)",
    "live on after its host": """
if libc.prctl(1, 0, 0, 0, 0) == 0:
    escaped_if(True)
""",
    "leave its session": "os.fork() and os._exit(0); os.setsid(); escaped_if(True)",
}
