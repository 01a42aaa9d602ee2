"""Attacks on files: reading, writing and changing what lies outside."""

from __future__ import annotations

FILES: dict[str, str] = {
    "read a file outside": "escaped_if(arena['mark'] in open(secret).read())",
    "read the users of the system": "escaped_if(open('/etc/passwd').read())",
    "read a file through libc": """
descriptor = libc.open(secret.encode(), 0)
escaped_if(descriptor >= 0 and arena['mark'].encode() in os.read(descriptor, 99))
""",
    "read a file through /proc/self/root": "escaped_if(arena['mark'] in open('/proc/self/root' + secret).read())",
    "read a file by climbing up": "escaped_if(arena['mark'] in open('../' * 30 + secret).read())",
    "read a file through O_PATH and /proc/self/fd": """
descriptor = os.open(secret, os.O_PATH)
escaped_if(arena['mark'] in open(f'/proc/self/fd/{descriptor}').read())
""",
    "read a file by its handle": """
handle = ctypes.create_string_buffer(struct.pack('=Ii', 128, 0) + bytes(128))
mount = ctypes.c_int()
call(303, 264, ctypes.c_int(-100), secret.encode(), handle, ctypes.byref(mount), 0)
root = os.open('/', os.O_RDONLY)
descriptor = call(304, 265, ctypes.c_int(root), handle, 0)
escaped_if(arena['mark'].encode() in os.read(descriptor, 99))
""",
    "read an inherited descriptor": """
found = b''
for descriptor in range(3, 256):
    try:
        found += os.pread(descriptor, 99, 0)
    except OSError:
        pass
escaped_if(arena['mark'].encode() in found)
""",
    "list a folder outside": "escaped_if(os.listdir(outside))",
    "map a file outside": """
import mmap
with open(secret, 'r+b') as file:
    escaped_if(arena['mark'].encode() in mmap.mmap(file.fileno(), 0)[:])
""",
    "write a file outside": "open(outside + '/made', 'w').close(); escaped_if(os.path.exists(outside + '/made'))",
    "write over a file outside": "open(outside + '/plain', 'r+').close(); escaped_if(True)",
    "append to a file outside": "os.open(outside + '/plain', os.O_WRONLY | os.O_APPEND); escaped_if(True)",
    "empty a file outside": "os.truncate(outside + '/plain', 0); escaped_if(True)",
    "empty a library that may only be read": """
os.open(arena['readable'], os.O_RDONLY | os.O_TRUNC)
escaped_if(os.path.getsize(arena['readable']) == 0)
""",
    "remove a file outside": "os.unlink(outside + '/removable'); escaped_if(True)",
    "rename a file outside": "os.rename(outside + '/plain', outside + '/plain'); escaped_if(True)",
    "make a folder outside": "os.makedirs(outside + '/folder', exist_ok=True); escaped_if(True)",
    "make a symbolic link and follow it": """
link = os.path.join(os.getcwd(), 'link')
os.path.lexists(link) and os.unlink(link)
os.symlink(secret, link)
escaped_if(arena['mark'] in open(link).read())
""",
    "make a hard link to a secret": """
link = os.path.join(outside, 'hard')
os.path.lexists(link) and os.unlink(link)
os.link(secret, link)
escaped_if(True)
""",
    "change the mode of a file outside": "os.chmod(outside + '/plain', 0o640); escaped_if(True)",
    "change the owner of a file outside": "os.chown(outside + '/plain', os.getuid(), os.getgid()); escaped_if(True)",
    "change the times of a file outside": "os.utime(outside + '/plain', (1, 1)); escaped_if(True)",
    "change the attributes of a file outside": """
call(188, 5, (outside + '/plain').encode(), b'user.swift', b'1', ctypes.c_size_t(1), 0)
escaped_if(True)
""",
    "make a device": "os.path.exists(outside + '/pipe') or os.mkfifo(outside + '/pipe'); escaped_if(True)",
    "write to shared memory": "open('/dev/shm/' + arena['mark'], 'w').close(); escaped_if(True)",
    "write beside the interpreter's libraries": """
path = os.path.join(os.path.dirname(os.__file__), arena['mark'] + '.pth')
open(path, 'w').close()
os.unlink(path)
escaped_if(True)
""",
    "watch a folder outside": """
descriptor = libc.inotify_init()
escaped_if(descriptor >= 0 and libc.inotify_add_watch(descriptor, outside.encode(), 0xFFF) >= 0)
""",
    "change the root folder": "os.chroot(outside); escaped_if(True)",
}
