"""On one machine, processes that torchrun itself started talk over the loopback interface, as those of `--nproc` do."""

from __future__ import annotations

import os
import socket

LAUNCHED = "SWIFT_LAUNCHED"
"""Set where our own launcher started the processes, whose store listens on this machine alone."""


def stay_on_this_machine() -> str:
    """Keep gloo and NCCL of a run on one machine off other interfaces; return what still listens there, or nothing.

    Interfaces that the user names are left as they are.
    """
    world = os.environ.get("WORLD_SIZE", "1")
    if world in ("", "1") or os.environ.get("LOCAL_WORLD_SIZE") != world:
        return ""
    set_interface()
    if os.environ.get(LAUNCHED) or "TORCHELASTIC_RUN_ID" not in os.environ:
        return ""
    return (
        "note: the store of torchrun listens on all addresses of this machine; "
        "swift train --nproc N keeps it on 127.0.0.1"
    )


def set_interface() -> None:
    """Tell gloo and NCCL the loopback interface, where it has a name and nothing else was said."""
    names = {name for _, name in socket.if_nameindex()}
    if name := next((name for name in ("lo", "lo0") if name in names), None):
        for library in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", name)
