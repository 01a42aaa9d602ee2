"""Attacks on the network, sockets of this machine included."""

from __future__ import annotations

NETWORK: dict[str, str] = {
    "connect by TCP": "socket.create_connection(('127.0.0.1', arena['tcp']), 2); escaped_if(True)",
    "listen for TCP": "server = socket.socket(); server.bind(('127.0.0.1', 0)); server.listen(); escaped_if(True)",
    "listen on IPv6": "server = socket.socket(socket.AF_INET6); server.bind(('::1', 0)); escaped_if(True)",
    "send by UDP": """
sender = socket.socket(type=socket.SOCK_DGRAM)
escaped_if(sender.sendto(b'secret', ('127.0.0.1', arena['udp'])))
""",
    "connect to a Unix socket": "s = socket.socket(socket.AF_UNIX); s.connect(arena['unix']); escaped_if(True)",
    "send to a Unix socket": """
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
escaped_if(sender.sendto(b'secret', arena['unix_datagram']))
""",
    "send to a Unix socket from a pair": """
sender, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
escaped_if(sender.sendto(b'secret', arena['unix_datagram']))
""",
    "connect to an abstract socket": """
s = socket.socket(socket.AF_UNIX)
s.connect('\\0' + arena['abstract'])
escaped_if(True)
""",
    "make a socket by its number": """
descriptor = call(41, 198, 2, 1, 0)
escaped_if(descriptor >= 0)
""",
    "ask the kernel by netlink": """
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
s.bind((0, 0))
escaped_if(True)
""",
    "make a packet socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0); escaped_if(True)",
    "look a name up": """
s = socket.socket(type=socket.SOCK_DGRAM)
s.connect(('127.0.0.1', 53))
escaped_if(True)
""",
}
