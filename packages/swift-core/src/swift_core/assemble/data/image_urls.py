"""Images that rows name by URL: fetched once before training, and only where the run file allows it.

Rows may come from a stranger. So a name is judged by every address it has, nothing on this machine or in a private
network is asked unless the run file lists it, redirects are not followed, and an answer has a largest size.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from swift_core.addresses import Allowed, is_this_machine, require_url
from swift_core.cache import cache_dir
from swift_core.contracts.images import LARGEST_IMAGE, ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import httpx2

FOLDER = "images"
_TIMEOUT = 30.0
"""Seconds that one image may take."""

_AT_A_TIME = 16
_HINT = "write data.allow_image_urls: [HOST], or true for every public host"


def cached_path(url: str) -> Path:
    """Return where the image at `url` is kept; it need not be there yet."""
    host = "".join(each if each.isalnum() or each in ".-" else "_" for each in urlsplit(url).hostname or "")
    return cache_dir() / FOLDER / f"host-{host}" / hashlib.sha256(url.encode()).hexdigest()


def require_image_url(url: str, *, allowed: bool, hosts: Allowed) -> None:
    """Raise ImageError for a URL that may not be asked; nothing is looked up."""
    if not allowed:
        raise ImageError("image-refused", "is on a server, and images are fetched only where that is allowed", _HINT)
    try:
        require_url(url, hosts)
        host = urlsplit(url).hostname or ""
    except ValueError as error:
        raise ImageError("image-refused", f"cannot be asked for: {error}", _HINT) from None
    listed = hosts.lists(host)
    if not listed and hosts != Allowed.of(()):
        raise ImageError("image-refused", f"is on {host}, which data.allow_image_urls does not list", _HINT)
    if not listed and is_this_machine(host):
        raise ImageError("image-refused", "is on a server of this machine", "list the host in data.allow_image_urls")


def fetch(urls: Iterable[str], hosts: Allowed) -> Mapping[str, str]:
    """Fetch the images that are not kept yet; return what went wrong, by URL."""
    missing = defaultdict(list)
    for url in dict.fromkeys(urls):
        if not cached_path(url).is_file():
            split = urlsplit(url)
            missing[split.scheme, split.netloc].append(url)
    return asyncio.run(_all(missing.values(), hosts)) if missing else {}


async def _all(groups: Iterable[Sequence[str]], hosts: Allowed) -> dict[str, str]:
    slots = asyncio.Semaphore(_AT_A_TIME)
    found = await asyncio.gather(*(_server(group, hosts, slots) for group in groups))
    return {url: reason for part in found for url, reason in part.items()}


async def _server(urls: Sequence[str], hosts: Allowed, slots: asyncio.Semaphore) -> dict[str, str]:
    """Fetch the images of one server."""
    import httpx2

    from swift_core.guarded import guarded

    headers = {"Accept": "image/*", "Accept-Encoding": "identity"}
    transport = guarded(urls[0], hosts, _AT_A_TIME)
    async with httpx2.AsyncClient(timeout=_TIMEOUT, transport=transport, headers=headers) as client:
        reasons = await asyncio.gather(*(_one(client, url, slots) for url in urls))
    return {url: reason for url, reason in zip(urls, reasons, strict=True) if reason}


async def _one(client: httpx2.AsyncClient, url: str, slots: asyncio.Semaphore) -> str:
    """Fetch one image; return why it cannot be had, empty when it is kept."""
    import httpx2

    from swift_core.guarded import RefusedAddressError

    async with slots:
        try:
            content, reason = await asyncio.wait_for(_content(client, url), _TIMEOUT)
        except (asyncio.TimeoutError, httpx2.TimeoutException):
            return f"has not come within {_TIMEOUT:g} s"
        except RefusedAddressError as error:
            return f"may not be asked for: {error}".replace("allow_hosts", "data.allow_image_urls")
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            return f"cannot be fetched: {type(error).__name__}: {error}"
    if not reason:
        _keep(cached_path(url), content)
    return reason


async def _content(client: httpx2.AsyncClient, url: str) -> tuple[bytes, str]:
    """Return the bytes at `url`, or why there are none."""
    content = bytearray()
    async with client.stream("GET", url) as response:
        if 300 <= response.status_code < 400:
            return b"", f"is answered with HTTP {response.status_code}: redirects are not followed"
        if response.status_code != 200:
            return b"", f"is answered with HTTP {response.status_code}"
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > LARGEST_IMAGE:
                return b"", f"has more than {LARGEST_IMAGE} bytes"
    return bytes(content), "" if content else "is empty"


def _keep(path: Path, content: bytes) -> None:
    """Write a file that nobody sees half of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(prefix=".", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(unfinished).replace(path)
