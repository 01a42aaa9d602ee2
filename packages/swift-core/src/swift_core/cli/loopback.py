"""Where the processes of one machine meet: a store of torch's that listens on the loopback address alone.

torch's own rendezvous listens on all addresses, and answers whoever asks. This one is for a single launcher, which has
nobody to wait for.
"""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]  # torch lists it nowhere
from torch.distributed.elastic.rendezvous import (
    RendezvousHandler,
    RendezvousInfo,
    RendezvousParameters,
    RendezvousStoreInfo,
    rendezvous_handler_registry,
)

from swift_core.cli.interfaces import LAUNCHED, set_interface

ADDRESS = "127.0.0.1"
BACKEND = "swift-loopback"
_PATIENCE = timedelta(minutes=10)


class Loopback(RendezvousHandler):
    """The meeting of a launcher with itself."""

    def __init__(self, params: RendezvousParameters) -> None:
        """Listen."""
        self._run_id, self._closed = params.run_id, False
        listening = socket.create_server((ADDRESS, 0))
        port = listening.getsockname()[1]
        handle: dict[str, Any] = {"master_listen_fd": listening.detach()}
        self._store = TCPStore(ADDRESS, port, is_master=True, wait_for_workers=False, timeout=_PATIENCE, **handle)

    def get_backend(self) -> str:
        """Return the name that it is registered by."""
        return BACKEND

    @property
    def use_agent_store(self) -> bool:
        """Whether processes meet in this store too."""
        return True

    def next_rendezvous(self) -> RendezvousInfo:
        """Return the store, and that this is the first machine of one."""
        return RendezvousInfo(self._store, 0, 1, RendezvousStoreInfo(ADDRESS, self._store.port))

    def is_closed(self) -> bool:
        """Say whether it was closed."""
        return self._closed

    def set_closed(self) -> None:
        """Close it."""
        self._closed = True

    def num_nodes_waiting(self) -> int:
        """Return 0: nobody else can come."""
        return 0

    def get_run_id(self) -> str:
        """Return the id that the launcher gave."""
        return self._run_id

    def shutdown(self) -> bool:
        """Close it and say that it is closed."""
        self._closed = True
        return True


def register() -> str:
    """Make it known to torch's launcher, keep gloo and NCCL on the loopback interface; return its name."""
    set_interface()
    os.environ[LAUNCHED] = "1"
    rendezvous_handler_registry.register(BACKEND, Loopback)
    return BACKEND
