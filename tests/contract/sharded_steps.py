"""Run by test_sharded_optimizers.py: optimizers that say any piece will do take the same steps on pieces.

Two ranks step over shards of FSDP2, and one process over flat pieces as ZeRO cuts them; both are compared with steps
over whole parameters. They are equal but for the last place, once a step: a kernel that takes several elements at a
time rounds those left over at the end of a piece otherwise. What differs is printed, and the exit code is then 1.
"""

import os
import sys
import tempfile
import traceback
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import distribute_tensor

from swift_core.plugins.options import prepared, read_source
from swift_core.plugins.registry import installed

RANKS, STEPS = 2, 6
LAST_PLACE = 2**-23
"""Of a float32, as a share of it."""

FILLED = {"lr": 1e-2, "weight_decay": 0.1, "betas": [0.9, 0.99], "eps": 1e-8}


def make_model():
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(24, 33), torch.nn.LayerNorm(33), torch.nn.Linear(33, 1))


def gradients(model, step):
    generator = torch.Generator().manual_seed(100 + step)
    return [torch.randn(parameter.shape, generator=generator) for parameter in model.parameters()]


def build(name, params):
    params = [{"params": params, "param_names": [str(index) for index in range(len(params))], "weight_decay": 0.1}]
    registry = installed()
    spec = registry.resolve("optimizer", name, Path())
    target = registry.load(spec)
    options = {option.name: FILLED[option.name] for option in read_source(spec).options if option.name in FILLED}
    return target(params, **prepared(target, options))


def after_whole_steps(name):
    model = make_model()
    optimizer = build(name, list(model.parameters()))
    for step in range(STEPS):
        for parameter, gradient in zip(model.parameters(), gradients(model, step), strict=True):
            parameter.grad = gradient
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


def after_sharded_steps(name, mesh):
    whole, model = make_model(), make_model()
    fully_shard(model, mesh=mesh)
    optimizer = build(name, list(model.parameters()))
    for step in range(STEPS):
        for parameter, gradient in zip(model.parameters(), gradients(whole, step), strict=True):
            parameter.grad = distribute_tensor(gradient, mesh, parameter.placements)
        optimizer.step()
    return [parameter.detach().full_tensor() for parameter in model.parameters()]


def after_flat_steps(name):
    model = make_model()
    sizes = [parameter.numel() for parameter in model.parameters()]
    cut = sum(sizes) // 2 + 1
    flat = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    pieces = [torch.nn.Parameter(piece.clone()) for piece in (flat[:cut], flat[cut:])]
    optimizers = [build(name, [piece]) for piece in pieces]
    for step in range(STEPS):
        gradient = torch.cat([gradient.flatten() for gradient in gradients(model, step)])
        for piece, optimizer, own in zip(pieces, optimizers, (gradient[:cut], gradient[cut:]), strict=True):
            piece.grad = own.clone()
            optimizer.step()
    whole = torch.cat([piece.detach() for piece in pieces]).split(sizes)
    return [piece.view(parameter.shape) for piece, parameter in zip(whole, model.parameters(), strict=True)]


def differences(name, mesh):
    expected = after_whole_steps(name)
    for way, found in (("sharded", after_sharded_steps(name, mesh)), ("flat", after_flat_steps(name))):
        for one, other in zip(expected, found, strict=True):
            if not bool(((one - other).abs() <= STEPS * LAST_PLACE * one.abs()).all()):
                yield f"{name}, {way}: differs by {(one - other).abs().max().item():.3g}"


def tried(name, mesh):
    """Return what differs, or what the optimizer raised."""
    try:
        return list(differences(name, mesh))
    except Exception:
        return [f"{name}: {traceback.format_exc()}"]


def rank(number, address, names):
    dist.init_process_group("gloo", init_method=f"file://{address}", rank=number, world_size=RANKS)
    mesh = init_device_mesh("cpu", (RANKS,))
    found = [line for name in names for line in tried(name, mesh)]
    dist.destroy_process_group()
    print(f"rank {number}: {len(names)} optimizers", *found, sep="\n", flush=True)
    return bool(found)


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        children = []
        for number in range(RANKS):
            child = os.fork()
            if not child:
                code = 1
                try:
                    code = rank(number, f"{folder}/store", sys.argv[1:])
                finally:
                    sys.stdout.flush()
                    os._exit(code)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
