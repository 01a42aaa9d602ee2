"""Asking a server over HTTP, many requests at a time: what judges, remote process rewards and engines share.

What a server does not answer becomes a typed failure of that request alone. Statuses 408, 429 and 5xx are tried again
with growing waits; nothing else is. A server that fails many requests in a row is left alone for a while.

Servers in private networks are asked only when they are listed, redirects are not followed, and an answer has a largest
size. What messages quote of an answer holds neither the key nor a text that was sent.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swift_core.addresses import Allowed, require_url
from swift_core.contracts.checks import require_nonnegative, require_positive
from swift_core.contracts.reward import RewardFailure

if TYPE_CHECKING:
    import asyncio

    import httpx2

_LONGEST_WAIT = 30.0
"""Seconds between two tries, at most."""

_SHOWN = 200
"""Characters of an answer that a message quotes."""

_ECHO = 12
"""Characters of a sent text that make a quoted answer an echo of it."""

_LARGEST_ANSWER = 64 * 2**20
"""Bytes of an answer, at most."""


@dataclass(slots=True, kw_only=True)
class RemoteClient:
    """Posts JSON to one server; safe to call from one thread at a time."""

    url: str
    """Where paths start from: `http://localhost:8000/v1`."""

    api_key_env: str = ""
    """Environment variable with the key that is sent as a bearer token; empty sends none."""

    allow_hosts: Sequence[str] = ()
    """Host names, addresses and networks that may be asked although they are private, or with plain http."""

    max_concurrency: int = 16
    """Requests under way at a time, >= 1."""

    timeout: float = 60.0
    """Seconds that one try may take, > 0."""

    deadline: float = 600.0
    """Seconds that all requests of one call may take together, > 0."""

    max_retries: int = 3
    """Further tries of a request that the server was too busy for, >= 0."""

    backoff: float = 0.5
    """Seconds before the first further try, doubled each time, >= 0; `Retry-After` of the server goes before."""

    max_failures: int = 16
    """Failures in a row after which nothing more is sent for `cooldown` seconds, >= 1."""

    cooldown: float = 30.0
    """Seconds, >= 0."""

    _key: str = field(default="", init=False, repr=False)
    _in_a_row: int = field(default=0, init=False, repr=False)
    _opened: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the options; the key is read now, so that a missing one is told before anything starts."""
        require_url(self.url, Allowed.of(self.allow_hosts))
        require_positive(
            max_concurrency=self.max_concurrency,
            timeout=self.timeout,
            deadline=self.deadline,
            max_failures=self.max_failures,
        )
        require_nonnegative(max_retries=self.max_retries, backoff=self.backoff, cooldown=self.cooldown)
        if self.api_key_env:
            self._key = os.environ.get(self.api_key_env, "")
            if not self._key:
                raise ValueError(f"api_key_env names the environment variable {self.api_key_env}, which is not set")

    def ask(self, path: str, bodies: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return what the server answers to each body, in their order: JSON, or a `RewardFailure`.

        Args:
            path: After `url`, such as `/chat/completions`.
            bodies: What is posted, as JSON.
        """
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        if not bodies:
            return []
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self._ask_all(path, bodies))
        with ThreadPoolExecutor(1) as thread:  # a loop runs here already, as in a notebook
            return thread.submit(lambda: asyncio.run(self._ask_all(path, bodies))).result()

    async def _ask_all(self, path: str, bodies: Sequence[Mapping[str, Any]]) -> list[Any]:
        import asyncio

        import httpx2

        from swift_core.guarded import guarded

        end = time.monotonic() + self.deadline
        slots = asyncio.Semaphore(self.max_concurrency)
        # Bytes as they are: a packed answer of a kilobyte may unpack to gigabytes.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        headers |= {"Authorization": f"Bearer {self._key}"} if self._key else {}
        transport = guarded(self.url, Allowed.of(self.allow_hosts), self.max_concurrency)
        async with httpx2.AsyncClient(timeout=self.timeout, transport=transport, headers=headers) as client:
            url = self.url.rstrip("/") + path
            return list(await asyncio.gather(*(self._one(client, slots, url, body, end) for body in bodies)))

    async def _one(
        self,
        client: httpx2.AsyncClient,
        slots: asyncio.Semaphore,
        url: str,
        body: Mapping[str, Any],
        end: float,
    ) -> Any:
        import asyncio

        async with slots:
            left = end - time.monotonic()
            if left <= 0:
                return RewardFailure("timeout", f"{url}: not asked within the {self.deadline:g} s for all requests")
            if self._is_open():
                return RewardFailure("network", f"{url}: not asked, the last {self._in_a_row} requests failed")
            try:
                answer = await asyncio.wait_for(self._tried(client, url, body), left)
            except asyncio.TimeoutError:
                answer = RewardFailure("timeout", f"{url}: no answer within the {self.deadline:g} s for all requests")
            self._count(answer)
            return answer

    async def _tried(self, client: httpx2.AsyncClient, url: str, body: Mapping[str, Any]) -> Any:
        """Return the answer after as many tries as it takes."""
        import asyncio

        for attempt in range(self.max_retries + 1):
            answer, again = await self._once(client, url, body)
            if again is None or attempt == self.max_retries:
                return answer
            wait = min(self.backoff * 2**attempt * random.Random().uniform(1.0, 1.5), _LONGEST_WAIT)
            await asyncio.sleep(max(again, wait))
        raise AssertionError("unreachable: there is a first try")

    async def _once(self, client: httpx2.AsyncClient, url: str, body: Mapping[str, Any]) -> tuple[Any, float | None]:
        """Return the answer, and for one that is worth another try the seconds the server asks to wait."""
        import asyncio

        import httpx2

        from swift_core.guarded import RefusedAddressError

        try:
            status, headers, content = await asyncio.wait_for(_posted(client, url, body), self.timeout)
        except (asyncio.TimeoutError, httpx2.TimeoutException):
            return RewardFailure("timeout", f"{url}: no answer within {self.timeout:g} s"), None
        except (RefusedAddressError, _TooLargeError) as error:
            return RewardFailure("error", f"{url}: {error}"), None
        except httpx2.RequestError as error:
            return RewardFailure("network", f"{url}: {type(error).__name__}: {error}"), None
        said = f"{url}: HTTP {status}: {self._quoted(content, body)}"
        if status in (408, 429) or status >= 500:
            return RewardFailure("network", said), _asked_wait(headers)
        if 300 <= status < 400:
            return RewardFailure(
                "error", f"{url}: HTTP {status}: redirects are not followed; give the address itself"
            ), None
        if not 200 <= status < 300:
            return RewardFailure("error", said), None
        try:
            return json.loads(content), None
        except (ValueError, RecursionError):
            return RewardFailure("error", f"{url}: the answer is no JSON: {self._quoted(content, body)}"), None

    def _quoted(self, content: bytes, body: Mapping[str, Any]) -> str:
        """Return the start of an answer, in one line, without the key; an echo of what was sent is not shown."""
        text = " ".join(content[: 4 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN]
        text = text.replace(self._key, "***") if self._key else text
        sent = json.dumps({key: value for key, value in body.items() if key != "model"}, ensure_ascii=False)
        pieces = (text[start : start + _ECHO] for start in range(len(text) - _ECHO + 1))
        if any(piece in sent for piece in pieces):
            return f"({len(content)} bytes that repeat what was sent, so they are not shown)"
        return text

    def _is_open(self) -> bool:
        """Say whether the server is left alone; after the cooldown requests are let through until one fails."""
        return self._in_a_row >= self.max_failures and time.monotonic() < self._opened + self.cooldown

    def _count(self, answer: Any) -> None:
        failed = isinstance(answer, RewardFailure)
        self._in_a_row = self._in_a_row + 1 if failed else 0
        if failed and self._in_a_row >= self.max_failures:
            self._opened = time.monotonic()


class _TooLargeError(Exception):
    """An answer has more bytes than it may."""


async def _posted(
    client: httpx2.AsyncClient, url: str, body: Mapping[str, Any]
) -> tuple[int, Mapping[str, str], bytes]:
    """Return status, headers and bytes of the answer to `body`."""
    content = bytearray()
    async with client.stream("POST", url, content=json.dumps(dict(body))) as response:
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > _LARGEST_ANSWER:
                raise _TooLargeError(f"the answer has more than {_LARGEST_ANSWER} bytes")
    return response.status_code, response.headers, bytes(content)


def _asked_wait(headers: Mapping[str, str]) -> float:
    """Return the seconds of `Retry-After`, at most half a minute; 0 where there are none, or a date."""
    value = headers.get("retry-after", "")
    return min(float(value), _LONGEST_WAIT) if value.isdecimal() else 0.0
