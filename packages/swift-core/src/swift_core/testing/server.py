"""A small server on loopback, so that what asks servers can be tried without one."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class LoopbackServer:
    """What a server was asked; `url` is where it listens."""

    url: str
    asked: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    """(path, JSON body, headers) of each request, in the order they came."""

    most_at_once: int = 0
    """Requests that were under way at a time."""


@contextmanager
def loopback_server(answer: Callable[[str, dict[str, Any]], Any]) -> Iterator[LoopbackServer]:
    """Serve on a free port of loopback while the block runs.

    Args:
        answer: From path and JSON body to (status, what is sent as JSON, or as it is when bytes), and as a third
            item the headers, if any.
    """
    lock = threading.Lock()
    under_way = 0

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            nonlocal under_way
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                under_way += 1
                told.most_at_once = max(told.most_at_once, under_way)
                told.asked.append((self.path, body, dict(self.headers)))
            try:
                status, value, *rest = answer(self.path, body)
            finally:
                with lock:
                    under_way -= 1
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            try:
                self.send_response(status)
                for name, text in (rest[0] if rest else {}).items():
                    self.send_header(name, text)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:  # the client went away
                self.close_connection = True

        def log_message(self, *args: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told = LoopbackServer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
