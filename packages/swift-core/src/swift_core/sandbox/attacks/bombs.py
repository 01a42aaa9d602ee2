"""Attacks on resources. Contained means: it ends, with a status that says why, and takes no more than it may.

Each says ESCAPED when it got more than the limit it is run with: 512 MiB of memory, 2 seconds, 1 MiB of output.
"""

from __future__ import annotations

BOMBS: dict[str, str] = {
    "processes": """
children = 0
for _ in range(40):
    child = os.fork()
    if child == 0:
        os._exit(0)
    children += 1
escaped_if(children)
""",
    "threads": """
import threading, time
started = 0
for _ in range(2000):
    threading.Thread(target=time.sleep, args=(1.0,), daemon=True).start()
    started += 1
escaped_if(started == 2000)
os._exit(0)
""",
    "memory at once": "escaped_if(len(bytearray(2**30)))",
    "memory bit by bit": """
kept = []
for _ in range(1024):
    kept.append(bytearray(2**20))
escaped_if(True)
""",
    "memory that is mapped": "import mmap; escaped_if(len([mmap.mmap(-1, 2**26) for _ in range(16)]) == 16)",
    "memory in a file": """
descriptor = os.memfd_create('x')
os.posix_fallocate(descriptor, 0, 2**30)
escaped_if(True)
""",
    "memory in pipes": """
import fcntl
kept = 0
for _ in range(2000):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    kept += os.write(writer, bytes(65536))
escaped_if(kept > 2**26)
""",
    "a large file": """
with open('large', 'wb', buffering=0) as file:
    for _ in range(64):
        assert file.write(bytes(2**20)) == 2**20
os.unlink('large')
escaped_if(True)
""",
    "many files": """
for number in range(1000):
    open(f'file{number}', 'wb').close()
    os.unlink(f'file{number}')
escaped_if(True)
""",
    "many open files": "kept = [os.open('/dev/null', os.O_RDONLY) for _ in range(2000)]; escaped_if(True)",
    "much output": """
for _ in range(64):
    os.write(1, bytes(2**20))
escaped_if(True)
""",
    "much output in errors": """
for _ in range(64):
    os.write(2, bytes(2**20))
os._exit(1)
""",
    "a loop": "while True: pass",
    "a loop that nothing interrupts": "escaped_if(len(str(7 ** (10 ** 9))))",
    "a loop that ignores signals": """
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True: pass
""",
    "sleep": "import time; time.sleep(60); escaped_if(True)",
    "a deep recursion": "sys.setrecursionlimit(10**9)\ndef f(n): return f(n + 1)\nf(0)",
    "a core file": "os.abort()",
}
