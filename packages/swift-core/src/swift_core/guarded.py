"""Connections that go only to addresses that were judged: a name is looked up once a call, and what it gave is kept."""

from __future__ import annotations

import ipaddress
import urllib.request

import httpx2

from swift_core.addresses import Allowed, refused


class RefusedAddressError(Exception):
    """A name leads to no address that may be asked."""


def guarded(url: str, allowed: Allowed, max_connections: int) -> GuardedTransport:
    """Return the transport of one call to the server at `url`; a proxy that the environment names is used."""
    limits = httpx2.Limits(max_connections=max_connections)
    proxy = _proxy_for(httpx2.URL(url))
    return GuardedTransport(
        httpx2.AsyncHTTPTransport(limits=limits, proxy=proxy), allowed, keeps_name=proxy is not None
    )


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Looks names up, judges their addresses, and connects to those; names go on as `Host` and in the certificate."""

    def __init__(self, inner: httpx2.AsyncHTTPTransport, allowed: Allowed, *, keeps_name: bool) -> None:
        """Take what connects; behind a proxy, which looks names up itself, `keeps_name` leaves them as they are."""
        self._inner, self._allowed, self._keeps_name = inner, allowed, keeps_name
        self._known: dict[tuple[str, int], list[str]] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send `request` to the first of its host's addresses that answers the call.

        Raises:
            RefusedAddressError: None of its addresses may be asked.
        """
        addresses = await self._addresses(request.url)
        if self._keeps_name:
            return await self._inner.handle_async_request(request)
        host = request.url.host
        request.extensions = {**request.extensions, "sni_hostname": host}
        for address in addresses[:-1]:
            if (response := await self._answered(request, address)) is not None:
                return response
        return await self._to(request, addresses[-1])

    async def _answered(self, request: httpx2.Request, address: str) -> httpx2.Response | None:
        """Return the answer from `address`, None when nobody takes the call there."""
        try:
            return await self._to(request, address)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            return None

    async def _to(self, request: httpx2.Request, address: str) -> httpx2.Response:
        request.url = request.url.copy_with(host=address)
        return await self._inner.handle_async_request(request)

    async def _addresses(self, url: httpx2.URL) -> list[str]:
        port = url.port or (443 if url.scheme == "https" else 80)
        if (url.host, port) not in self._known:
            self._known[url.host, port] = await self._looked_up(url.host, port, url.scheme)
        return self._known[url.host, port]

    async def _looked_up(self, host: str, port: int, scheme: str) -> list[str]:
        """Return the addresses of `host` that may be asked, in the system's order."""
        import asyncio
        import socket

        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            if self._keeps_name:
                return []
            raise httpx2.ConnectError(f"the host {host} is not known: {error}") from error
        texts = list(dict.fromkeys(str(address[0]) for *_, address in found))
        reasons = {text: refused(host, ipaddress.ip_address(text), scheme, self._allowed) for text in texts}
        taken = [text for text in texts if not reasons[text]]
        if not taken:
            raise RefusedAddressError("; ".join(dict.fromkeys(reasons.values())))
        return taken

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def _proxy_for(url: httpx2.URL) -> str | None:
    """Return the proxy that the environment names for `url`; this machine is never asked through one."""
    if url.host in ("localhost", "127.0.0.1", "::1") or urllib.request.proxy_bypass(url.host):
        return None
    proxies = urllib.request.getproxies_environment()
    return proxies.get(url.scheme) or proxies.get("all")
