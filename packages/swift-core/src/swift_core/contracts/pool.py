"""Pools: where the confined processes of rewards and metrics run, on this machine or on others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What workers run, and what each is left with."""

    target: str
    """`module:attribute`; called with `options` in the worker, it returns what answers one item."""

    options: Any = None
    """Plain data for `target`."""

    num_workers: int = 0
    """Processes at once on one machine; 0 is one for each core, at most 8."""

    timeout: float = 10.0
    """Seconds that one item may take, > 0."""

    memory: int = 2 * 2**30
    """Bytes of address space of a process."""

    require: Literal["L0", "L1", "L2", "L3"] = "L1"
    """The lowest level of confinement; below, nothing is run, on whatever machine."""

    readable: tuple[str, ...] = ()
    """Files and folders that processes may read, beside Python and what is installed."""


class Started(Protocol):
    """What workers say once their code is imported."""

    @property
    def level(self) -> str:
        """How well they are confined."""

    @property
    def info(self) -> Any:
        """What the code says of itself, as JSON says it."""


class Workers(Protocol):
    """Processes that answer items, an answer or a `WorkerFailure` for each; a lost item loses nothing but itself."""

    def start(self) -> Started:
        """Start what is not started; SandboxUnavailableError and WorkerStartError say why it cannot be."""

    def call(self, item: Any, timeout: float = 0.0) -> Any:
        """Return the answer to one item, or raise its WorkerFailure; `timeout` 0 is that of the work."""

    def map(self, items: Sequence[Any], timeout: float = 0.0) -> list[Any]:
        """Return the answer to each item, or the WorkerFailure that it came to; TypeError when JSON cannot say one."""

    def close(self) -> None:
        """End the processes."""


class Pool(Protocol):
    """A `swift.pools` plugin, built from its options.

    What it carries is JSON, in both directions; it never unpickles what a worker said. `needs_package = "ray"` names a
    package that must be there.
    """

    def workers(self, work: Work, /) -> Workers:
        """Return workers for `work`; none has to run yet."""
