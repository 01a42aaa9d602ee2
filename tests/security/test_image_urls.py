"""Images that rows name by URL: asked for only where allowed, at judged addresses, with limits."""

from __future__ import annotations

import http.server
import io
import socket
import threading

import pytest
from PIL import Image

from swift_core.addresses import Allowed
from swift_core.assemble.data import image_urls
from swift_core.assemble.data.image_urls import cached_path, fetch, require_image_url
from swift_core.contracts.images import ImageError, ImageRef

NOBODY = Allowed.of(())


def png():
    written = io.BytesIO()
    Image.new("RGB", (2, 2), "red").save(written, "PNG")
    return written.getvalue()


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        pages = {"/red.png": (200, png()), "/moved": (302, b""), "/none": (404, b""), "/large": (200, bytes(5000))}
        status, content = pages[self.path]
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/red.png")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server on this machine, and an empty cache."""
    monkeypatch.setenv("SWIFT_CACHE", str(tmp_path / "cache"))
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    made.asked = []
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{made.server_port}"
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.mark.parametrize(
    ("url", "allowed", "hosts", "message"),
    [
        ("https://a.example/1.png", False, [], "fetched only where that is allowed"),
        ("http://a.example/1.png", True, [], "plain http is for this machine"),
        ("https://localhost/1.png", True, [], "on a server of this machine"),
        ("http://127.0.0.1:8000/1.png", True, [], "on a server of this machine"),
        ("https://[::1]/1.png", True, [], "on a server of this machine"),
        ("https://169.254.169.254/latest", True, [], "no public address"),
        ("https://10.0.0.7/1.png", True, [], "no public address"),
        ("https://user:secret@a.example/1.png", True, [], "must not hold a user or password"),
        ("https:///1.png", True, [], "must name a host"),
        ("https://b.example/1.png", True, ["a.example"], "is on b.example, which data.allow_image_urls does not list"),
        ("https://localhost/1.png", True, ["a.example"], "does not list"),
    ],
)
def test_what_may_not_be_asked_is_told_before_anything_is_looked_up(monkeypatch, url, allowed, hosts, message):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("looked up"))
    with pytest.raises(ImageError) as caught:
        require_image_url(url, allowed=allowed, hosts=Allowed.of(hosts))
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("https://a.example/1.png", []),
        ("http://a.example/1.png", ["a.example"]),
        ("http://127.0.0.1:9/1", ["127.0.0.1"]),
    ],
)
def test_what_may_be_asked(url, hosts):
    require_image_url(url, allowed=True, hosts=Allowed.of(hosts))


def test_a_public_name_that_leads_into_the_local_network_is_not_asked(monkeypatch, tmp_path):
    monkeypatch.setenv("SWIFT_CACHE", str(tmp_path))
    inside = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: inside)
    failures = fetch(["https://a.example/1.png"], NOBODY)
    assert "10.0.0.7 is no public address" in failures["https://a.example/1.png"]
    assert "data.allow_image_urls" in failures["https://a.example/1.png"]


def test_a_listed_server_is_asked_once_and_the_image_is_kept(server):
    url = f"{server.url}/red.png"
    hosts = Allowed.of(["127.0.0.1"])
    assert fetch([url, url], hosts) == {}
    assert fetch([url], hosts) == {}
    assert server.asked == ["/red.png"]
    assert ImageRef(path=str(cached_path(url)), url=url).open().getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("/moved", "HTTP 302: redirects are not followed"),
        ("/none", "is answered with HTTP 404"),
        ("/large", "has more than 4000 bytes"),
    ],
)
def test_what_is_no_image_of_a_fair_size_is_told_and_not_kept(server, monkeypatch, page, message):
    monkeypatch.setattr(image_urls, "LARGEST_IMAGE", 4000)
    url = server.url + page
    assert message in fetch([url], Allowed.of(["127.0.0.1"]))[url]
    assert not cached_path(url).exists()
