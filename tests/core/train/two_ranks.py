"""Run by test_sharded_head.py: two ranks score tokens under FSDP2 and compare themselves with one process.

Exits 0 when losses and gradients are equal; what differs is printed.
"""

import copy
import os
import sys
import tempfile
import traceback

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import LlamaConfig, LlamaForCausalLM

from swift_core.train.forward import OutputHead
from swift_core.train.outputs import ScoredTokens

RANKS = 2
CASES = {
    "own head": {},
    "tied head": {"tied": True},
    "frozen head": {"frozen": True},
    "head sharded by itself": {"wraps_head": True},
    "called head": {"called": True},
    "logits": {"reads": ("logits", "token_logits")},
    "late statistics, dropout": {"reads": ("logps", "entropies", "token_logits"), "dropout": 0.3},
}


def build(tied, frozen, dropout):
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=61,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=tied,
            attention_dropout=dropout,
            attn_implementation="eager",
        )
    ).train()
    model.lm_head.requires_grad_(not frozen)
    return model


def rows():
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(1, 61, (4, 9), generator=generator)
    labels = ids.clone()
    labels[:, :3] = -100
    labels[3] = -100  # the last row scores nothing
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def loss_of(model, batch, reads):
    """Return a loss that depends on all that is read; dropout draws the same in every process."""
    torch.manual_seed(7)
    tokens = ScoredTokens(OutputHead(model), model, batch)
    parts = [tokens.read(name) for name in reads]
    return sum((part * torch.cos(torch.arange(part.numel()).view_as(part) * 0.1)).sum() for part in parts)


def call_head(model):
    """Put a forward of the head's own in its way, as hooks of other libraries do."""
    inner = model.lm_head.forward
    model.lm_head.forward = lambda hidden: inner(hidden)


def compare(tied=False, frozen=False, wraps_head=False, called=False, reads=("logps",), dropout=0.0):
    """Return what differs between this rank's shards and one process with all rows."""
    whole = build(tied, frozen, dropout)
    model = copy.deepcopy(whole)
    if called:
        call_head(model)
    mesh = init_device_mesh("cpu", (RANKS,))
    wrapped = [*model.model.layers, *([model.lm_head] if wraps_head else [])]
    for module in wrapped:
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)
    assert isinstance(model.lm_head.weight, DTensor)
    shares = [{name: value[rank::RANKS] for name, value in rows().items()} for rank in range(RANKS)]
    losses = [loss_of(whole, share, reads) for share in shares]
    mine = loss_of(model, shares[dist.get_rank()], reads)
    sum(losses).backward()
    mine.backward()
    differences = []
    if not torch.allclose(mine, losses[dist.get_rank()], rtol=1e-4, atol=1e-5):
        differences.append(f"loss {mine.item()} and not {losses[dist.get_rank()].item()}")
    for (name, one), (_, other) in zip(model.named_parameters(), whole.named_parameters(), strict=True):
        if other.grad is None:
            differences += [name] if one.grad is not None else []
            continue
        gradient = one.grad.full_tensor() * RANKS  # ranks are averaged
        if not torch.allclose(gradient, other.grad, rtol=1e-3, atol=1e-5 * other.grad.abs().max().item()):
            differences.append(f"gradient of {name}: {(gradient - other.grad).abs().max().item()}")
    return differences


def rank(number, address):
    dist.init_process_group("gloo", init_method=f"file://{address}", rank=number, world_size=RANKS)
    differences = {case: compare(**options) for case, options in CASES.items()}
    dist.destroy_process_group()
    found = {case: what for case, what in differences.items() if what}
    print(f"rank {number}: {len(CASES)} cases", *found.items(), sep="\n", flush=True)
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
                    code = rank(number, f"{folder}/store")
                except BaseException:
                    traceback.print_exc()
                finally:
                    sys.stderr.flush()
                    os._exit(code)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
