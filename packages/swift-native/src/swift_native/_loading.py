"""Loading of state dicts: states as they were saved, where they belong.

torch would cast them to the dtype of their parameter and carry them to its device, which is not where an offloaded
parameter's states are and may not have the room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from swift_native._state import MASTER

if TYPE_CHECKING:
    from torch.optim.optimizer import Optimizer, StateDict


class Loading:
    """Keeps the states of a state dict from torch while it loads the groups, and then puts them in their places."""

    def __init__(self) -> None:
        self._loaded: StateDict = {}

    def take(self, _: Optimizer, loaded: StateDict) -> StateDict:
        """Keep `loaded` and return it without what is a parameter's; a hook that runs before torch loads."""
        self._loaded = loaded
        ids = _ids(loaded)
        return {**loaded, "state": {key: value for key, value in loaded["state"].items() if key not in ids}}

    def put(self, optimizer: Optimizer) -> None:
        """Give the parameters their states; a hook that runs after torch has loaded.

        Raises:
            ValueError: The states have float32 weights beside bfloat16 parameters that are not offloaded.
        """
        params = [param for group in optimizer.param_groups for param in group["params"]]
        offload = getattr(optimizer, "offload", "none")
        for param, saved in zip(params, _ids(self._loaded), strict=True):
            if saved in self._loaded["state"]:
                optimizer.state[param] = _in_place(self._loaded["state"][saved], param, offload)


def _ids(loaded: StateDict) -> list[Any]:
    return [saved for group in loaded["param_groups"] for saved in group["params"]]


def _in_place(saved: dict[str, Any], param: Tensor, offload: str) -> dict[str, Any]:
    state = dict(saved)
    if offload == "none" and state.pop(MASTER, None) is not None and param.dtype is not torch.float32:
        raise ValueError(
            'the state dict has float32 weights of parameters that are kept in fewer bits: load it with offload="cpu", '
            "or delete each 'master' from its states to go on with the rounded weights"
        )
    for name, value in state.items():
        if isinstance(value, Tensor):
            state[name] = value.to(device="cpu" if name == "step" or offload != "none" else param.device)
    return state
