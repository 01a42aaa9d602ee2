"""A second device for tests of machines that have one: `twin:0`, whose tensors are kept in the memory of the CPU.

Everything that a real device would do happens: the autograd engine keeps a queue for it, `tensor.to` moves, and an
operation on tensors of two devices raises. Importing this changes torch for the whole process, so it is imported in
processes of its own.
"""

import torch
from torch.utils import _pytree as pytree
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "twin:0"
aten = torch.ops.aten
MOVES = (aten._to_copy.default, aten.copy_.default)


class Module(_DummyBackendModule):
    """What torch asks of a device's module."""

    def is_available(self):
        return False  # the CPU stays the device that runs look for

    def get_rng_state(self, device=0):
        return torch.zeros(1, dtype=torch.uint8)

    def set_rng_state(self, state, device=0):
        pass


_setup_privateuseone_for_python_backend("twin", backend_module=Module())


class Twin(torch.Tensor):
    """A tensor on the second device; `raw` has its values."""

    @staticmethod
    def __new__(cls, raw, device):
        layout = {"strides": raw.stride(), "storage_offset": raw.storage_offset(), "dtype": raw.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, raw.shape, **layout, device=device)

    def __init__(self, raw, device):
        self.raw = raw

    def __repr__(self):
        return f"Twin({self.raw})"

    def __deepcopy__(self, memo):
        with torch.no_grad():
            copied = Twin(self.raw.clone(), self.device).requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, requires_grad=self.requires_grad)
        memo[id(self)] = copied
        return copied

    def tolist(self):
        return self.raw.tolist()

    def untyped_storage(self):
        return self.raw.untyped_storage()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})


def computed(func, args, kwargs):
    """Return what an operation gives; raise RuntimeError when its tensors lie on two devices, as torch does."""
    flat, spec = pytree.tree_flatten((args, kwargs))
    asked = [value for value in flat if isinstance(value, torch.device)]
    twins = [value for value in flat if isinstance(value, Twin)]
    others = [
        value for value in flat if isinstance(value, torch.Tensor) and not isinstance(value, Twin) and value.dim()
    ]
    if twins and others and func not in MOVES:
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, found twin:0 and cpu")
    goes_to = asked[0] if asked else args[0].device if func is aten.copy_.default else None
    device = goes_to or (twins[0].device if twins else torch.device("cpu"))
    plain = [value.raw if isinstance(value, Twin) else _cpu(value) for value in flat]
    args, kwargs = pytree.tree_unflatten(plain, spec)
    made = func(*args, **kwargs)
    if device.type == "cpu":
        return made
    known = {id(value.raw): value for value in twins}  # what an operation in place returns is what it was given
    return pytree.tree_map_only(
        torch.Tensor, lambda value: known[id(value)] if id(value) in known else Twin(value, device), made
    )


def _cpu(value):
    return torch.device("cpu") if isinstance(value, torch.device) else value


_library = torch.library.Library("_", "IMPL")
_library.fallback(lambda func, *args, **kwargs: computed(func, args, kwargs), "PrivateUse1")

_tensor = torch.tensor


def _made(data, *, dtype=None, device=None, requires_grad=False):
    """Return what `torch.tensor` makes, which has no operation to fall back on."""
    if device is None or torch.device(device).type != "twin":
        return _tensor(data, dtype=dtype, device=device, requires_grad=requires_grad)
    return _tensor(data, dtype=dtype).to(device).requires_grad_(requires_grad)


torch.tensor = _made
