"""Workers on the machines of a Ray cluster: an actor on each keeps confined processes, as the pool `local` does here.

Ray carries bytes, in which items and answers are JSON; what a worker says is unpickled nowhere. An item that hangs or
crashes is dealt with on its machine. Items of an actor that is lost, with its machine or without, are asked again
elsewhere, one by one; one that loses a second actor fails.
"""

from __future__ import annotations

import importlib
import json
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.builtins.pools._cluster import connect
from swift_core.builtins.pools._messages import heard, packed, raise_refusal
from swift_core.contracts.checks import require_positive
from swift_core.contracts.pool import Work
from swift_core.errors import Problem, SwiftError
from swift_core.sandbox.failures import WorkerFailure
from swift_core.sandbox.levels import Level, required

if TYPE_CHECKING:
    from collections.abc import Sequence

_TRIES = 2
"""Actors that an item may lose."""

_GRACE = 30.0
"""Seconds beside the items' own after which an actor that says nothing counts as lost."""

_SHARES = 4
"""Parts of a batch for each machine, so that a fast one takes more of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayPool:
    """Confined processes on the machines of a Ray cluster."""

    address: str = ""
    """`HOST:PORT` of a cluster that runs; empty starts one on this machine, for this run, that no other can reach."""

    num_actors: int = 0
    """Actors, each with the processes of `plugins.sandbox.workers`; 0 is one for each machine of the cluster."""

    cpus_per_actor: float = 1.0
    """Processors that Ray sets aside for an actor, > 0."""

    start_seconds: float = 120.0
    """Seconds in which actors must be there with their code imported, > 0."""

    needs_package: ClassVar[str] = "ray"
    install_with: ClassVar[str] = "swift-core[ray]"

    def __post_init__(self) -> None:
        require_positive(cpus_per_actor=self.cpus_per_actor, start_seconds=self.start_seconds)
        if self.num_actors < 0:
            raise ValueError(f"num_actors must be >= 0, got {self.num_actors}")

    def workers(self, work: Work, /) -> RayWorkers:
        """Return workers for `work`; no actor runs yet."""
        return RayWorkers(work, self)


@dataclass(frozen=True, slots=True)
class StartedActor:
    """What the workers of a machine say of themselves."""

    level: Level
    info: Any


@dataclass(slots=True)
class _Share:
    """Items that an actor was asked."""

    actor: Any
    places: list[int]
    deadline: float


class RayWorkers:
    """The workers of one piece of work. Safe to use from several threads, one batch at a time."""

    def __init__(self, work: Work, pool: RayPool) -> None:
        """Describe them."""
        level: Level = work.require
        told = {**asdict(work), "require": required(level)}
        self._work, self._pool, self._told = work, pool, packed(told)
        self._lock = threading.RLock()
        self._ray: Any = None
        self._actors: list[Any] = []
        self._started: StartedActor | None = None
        self.num_replaced = 0

    def start(self) -> StartedActor:
        """Start the actors, and return what their workers say of themselves.

        Raises:
            SandboxUnavailableError: A machine does not reach the required level.
            WorkerStartError: The code cannot be imported on a machine.
            SwiftError: The cluster cannot be used, or a machine has other code than this one.
        """
        with self._lock:
            if not self._actors:
                self._ray = connect(self._pool.address)
                count = self._pool.num_actors or sum(node["Alive"] for node in self._ray.nodes())
                self._actors = self._new(count)
            assert self._started is not None  # said by the actors
            return self._started

    def call(self, item: Any, timeout: float = 0.0) -> Any:
        """Return the answer to one item; raise its WorkerFailure when there is none."""
        (answer,) = self.map([item], timeout)
        if isinstance(answer, WorkerFailure):
            raise answer
        return answer

    def map(self, items: Sequence[Any], timeout: float = 0.0) -> list[Any]:
        """Return the answer to each item, or the WorkerFailure that it came to.

        Raises:
            TypeError: JSON cannot say an item.
            SandboxUnavailableError: A machine does not reach the required level.
            WorkerStartError: The code cannot be imported on a machine.
            SwiftError: There is no actor any more, and no other can be started.
        """
        texts = [packed(item) for item in items]
        if not texts:
            return []
        with self._lock:
            self.start()
            return _Batch(self, texts, timeout or self._work.timeout).done()

    def close(self) -> None:
        """End the actors; the next call starts new ones."""
        with self._lock:
            actors, self._actors = self._actors, []
            for actor in actors:
                self._end(actor)

    def replace(self, actor: Any) -> Any:
        """Return another actor in the place of one that was lost."""
        self._end(actor)
        self.num_replaced += 1
        (new,) = self._new(1)
        self._actors = [new if each is actor else each for each in self._actors]
        return new

    @property
    def actors(self) -> list[Any]:
        """The actors that serve."""
        return list(self._actors)

    @property
    def ray(self) -> Any:
        """The module, once connected."""
        return self._ray

    @property
    def target(self) -> str:
        """What the workers run, for messages."""
        return self._work.target

    def _end(self, actor: Any) -> None:
        if self._ray is not None and self._ray.is_initialized():
            self._ray.kill(actor)

    def _new(self, count: int) -> list[Any]:
        """Return so many actors, spread over the machines, once all are there and alike."""
        from swift_core.builtins.pools._machine import Machine

        made = self._ray.remote(Machine).options(
            num_cpus=self._pool.cpus_per_actor, scheduling_strategy="SPREAD", max_restarts=0
        )
        actors = [made.remote(self._told) for _ in range(count)]
        try:
            for hello in self._hellos([actor.start.remote() for actor in actors]):
                self._compare(hello)
        except BaseException:
            for actor in actors:
                self._end(actor)
            raise
        return actors

    def _hellos(self, asked: list[Any]) -> list[dict[str, Any]]:
        try:
            replies = self._ray.get(asked, timeout=self._pool.start_seconds)
        except self._ray.exceptions.RayError as error:
            text = " ".join(str(error).split())[:300]
            message = f"{len(asked)} actors were not there within {self._pool.start_seconds:g} seconds: {text}"
            next_step = "ray status says what the cluster has; swift must be installed on each of its machines"
            raise SwiftError(Problem("pool-start", f"{message.rstrip('.')}.", None, next_step)) from error
        return [json.loads(reply) for reply in replies]

    def _compare(self, hello: dict[str, Any]) -> None:
        """Keep what a machine says; raise when it cannot serve, or is not like the others."""
        raise_refusal(hello, self.target)
        own = importlib.import_module("swift_core").__version__
        started = StartedActor(hello["level"], hello["info"])
        if hello["version"] != own or (self._started is not None and started.info != self._started.info):
            message = f"the machine {hello['machine']} of the Ray cluster has other code than this one."
            next_step = "install the same wheels, and keep the same files, on every machine"
            raise SwiftError(Problem("pool-differs", message, None, next_step))
        lowest = started.level if self._started is None else min(started.level, self._started.level)
        self._started = StartedActor(lowest, started.info)


class _Batch:
    """The items of one call of `map`, shared out among actors."""

    def __init__(self, workers: RayWorkers, texts: list[bytes], timeout: float) -> None:
        self._workers, self._texts, self._timeout = workers, texts, timeout
        self._answers: list[Any] = [None] * len(texts)
        self._lost = [0] * len(texts)
        size = max(1, len(texts) // (_SHARES * len(workers.actors)))
        places = range(len(texts))
        self._waiting = deque([*places[start : start + size]] for start in range(0, len(texts), size))
        self._asked: dict[Any, _Share] = {}

    def done(self) -> list[Any]:
        """Return the answers once all items have one."""
        idle = self._workers.actors
        while self._waiting or self._asked:
            while idle and self._waiting:
                self._ask(idle.pop(), self._waiting.popleft())
            idle += [self._settled(reference) for reference in self._ended()]
        return self._answers

    def _ask(self, actor: Any, places: list[int]) -> None:
        items = b"[" + b",".join(self._texts[place] for place in places) + b"]"
        deadline = time.monotonic() + _GRACE + self._timeout * len(places)
        self._asked[actor.answers.remote(items, self._timeout)] = _Share(actor, places, deadline)

    def _ended(self) -> list[Any]:
        """Wait for an answer; return what is answered, lost, or overdue."""
        wait = max(0.0, min(share.deadline for share in self._asked.values()) - time.monotonic())
        ready, _ = self._workers.ray.wait(list(self._asked), num_returns=1, timeout=wait)
        now = time.monotonic()
        return list(ready) or [asked for asked, share in self._asked.items() if share.deadline <= now]

    def _settled(self, reference: Any) -> Any:
        """Keep the answers of a share; return an actor that has nothing to do."""
        share, ray = self._asked.pop(reference), self._workers.ray
        try:
            reply = json.loads(ray.get(reference, timeout=0))
        except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
            self._give_back(share)
            return self._workers.replace(share.actor)
        if isinstance(reply, dict):
            raise_refusal(reply, self._workers.target)
        for place, said in zip(share.places, reply, strict=True):
            self._answers[place] = heard(said)
        return share.actor

    def _give_back(self, share: _Share) -> None:
        for place in share.places:
            self._lost[place] += 1
            if self._lost[place] < _TRIES:
                self._waiting.appendleft([place])
            else:
                self._answers[place] = WorkerFailure("crash", f"{_TRIES} actors were lost while they were at it")
