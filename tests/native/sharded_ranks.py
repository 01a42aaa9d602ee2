"""Two ranks over gloo that train by FSDP2 and by ZeRO; run as `python sharded_ranks.py FOLDER`.

Each rank is a fork of the process that has trained the same models whole, on the batches of both; rank 0 writes what
came out. Not a test file: test_sharded.py looks at what is in the folder.
"""

import os
import sys
import traceback
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import init_device_mesh

from swift_native import SGD, Adafactor, AdamW, Lion

NUM_RANKS = 2
CASES = {
    "adamw": (AdamW, {"weight_decay": 0.1}),
    "adamw, amsgrad": (AdamW, {"amsgrad": True}),
    "adamw, bf16 moments": (AdamW, {"moments": "bf16", "seed": 5}),
    "lion": (Lion, {"lr": 1e-3}),
    "sgd": (SGD, {"momentum": 0.9}),
}


def model():
    """Return a model with rows that do not divide evenly, and a last layer of which rank 1 gets nothing."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(7, 11), torch.nn.Tanh(), torch.nn.Linear(11, 1))


def loss(net, step, rank):
    generator = torch.Generator().manual_seed(10 * step + rank)
    return net(torch.randn(8, 7, generator=generator)).square().mean()


def trained_whole(cls, options, num_steps):
    """Return the weights and the optimizer's state after steps on the mean gradient of all ranks."""
    net = model()
    optimizer = cls(net.parameters(), **options)
    for step in range(num_steps):
        grads = [torch.autograd.grad(loss(net, step, rank), list(net.parameters())) for rank in range(NUM_RANKS)]
        for param, *parts in zip(net.parameters(), *grads, strict=True):
            param.grad = sum(parts) / NUM_RANKS
        optimizer.step()
    return [param.detach() for param in net.parameters()], optimizer.state_dict()["state"]


def steps(net, optimizer, rank, numbers):
    for step in numbers:
        optimizer.zero_grad()
        loss(net, step, rank).backward()
        optimizer.step()


def trained_by_fsdp(cls, options, rank, mesh):
    """Return weights, the whole state, and weights of a run that was saved and loaded in the middle."""
    net = fully_shard(model(), mesh=mesh)
    optimizer = cls(net.parameters(), **options)
    steps(net, optimizer, rank, range(4))
    whole = get_optimizer_state_dict(net, optimizer, options=StateDictOptions(full_state_dict=True))["state"]

    first = fully_shard(model(), mesh=mesh)
    before = cls(first.parameters(), **options)
    steps(first, before, rank, range(2))
    after = cls(first.parameters(), **options)
    after.load_state_dict(before.state_dict())
    steps(first, after, rank, range(2, 4))
    return [param.full_tensor() for param in net.parameters()], whole, [p.full_tensor() for p in first.parameters()]


def trained_by_zero(cls, options, rank):
    """Return the weights of a replicated model whose optimizer is cut up."""
    net = torch.nn.parallel.DistributedDataParallel(model())
    steps(net, ZeroRedundancyOptimizer(net.parameters(), cls, **options), rank, range(4))
    return [param.detach() for param in net.parameters()]


def trained_flat(cls, options, rank):
    """Return the weights when each rank steps its half of all weights in one flat tensor, as DeepSpeed's ZeRO does."""
    net = model()
    flat = torch.nn.utils.parameters_to_vector(net.parameters()).detach()
    size = -(-len(flat) // NUM_RANKS)
    own = torch.nn.Parameter(flat[rank * size : (rank + 1) * size].clone())
    optimizer = cls([own], **options)
    for step in range(4):
        grads = torch.autograd.grad(loss(net, step, rank), list(net.parameters()))
        grad = torch.cat([g.flatten() for g in grads])
        dist.all_reduce(grad)
        own.grad = grad[rank * size : (rank + 1) * size] / NUM_RANKS
        optimizer.step()
        parts = [torch.zeros(size) for _ in range(NUM_RANKS)]
        dist.all_gather(parts, torch.nn.functional.pad(own.detach(), (0, size - len(own))))
        torch.nn.utils.vector_to_parameters(torch.cat(parts)[: len(flat)], net.parameters())
    return [param.detach() for param in net.parameters()]


def plans(mesh):
    """Return whether the plan of a step serves the next one, and is made anew when this rank's part has moved."""
    net = fully_shard(model(), mesh=mesh)
    optimizer = AdamW(net.parameters())
    steps(net, optimizer, 0, range(1))
    first = optimizer._plan
    steps(net, optimizer, 0, range(1, 3))
    second = optimizer._plan
    with torch.no_grad():  # else it would be a view
        part = optimizer.state[net[0].weight]["exp_avg"].to_local()
    part.data = part.clone()
    steps(net, optimizer, 0, range(3, 4))
    return {"kept": first is second, "made anew": optimizer._plan is not second}


def refusal(cls, options, mesh):
    net = fully_shard(model(), mesh=mesh)
    try:
        optimizer = cls(net.parameters(), **options)
        loss(net, 0, 0).backward()
        optimizer.step()
    except ValueError as error:
        return str(error)
    return "not refused"


def rank_main(rank, folder):
    dist.init_process_group("gloo", store=dist.FileStore(str(folder / "store"), NUM_RANKS), rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (NUM_RANKS,))
    found = {}
    for name, (cls, options) in CASES.items():
        sharded, state, resumed = trained_by_fsdp(cls, options, rank, mesh)
        found[name] = {"fsdp": sharded, "state": state, "resumed": resumed}
        if "moments" not in options:
            found[name] |= {"zero": trained_by_zero(cls, options, rank), "flat": trained_flat(cls, options, rank)}
    found["plans"] = plans(mesh)
    found["refused"] = {
        "adafactor": refusal(Adafactor, {}, mesh),
        "8bit": refusal(AdamW, {"moments": "8bit"}, mesh),
        "clipping": refusal(AdamW, {"max_grad_norm": 1.0}, mesh),
        "offload": refusal(AdamW, {"offload": "cpu"}, mesh),
    }
    if rank == 0:
        torch.save(found, folder / "sharded.pt")
    dist.barrier()
    dist.destroy_process_group()


def main(folder):
    torch.set_num_threads(1)
    torch.save({name: trained_whole(*case, 4) for name, case in CASES.items()}, folder / "whole.pt")
    children = []
    for rank in range(NUM_RANKS):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                rank_main(rank, folder)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(max(map(abs, codes)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
