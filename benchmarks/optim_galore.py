"""What a refresh of GaLore's projections costs and captures beside exact SVDs, and what it does to a run's loss.

    python benchmarks/optim_galore.py [--steps N] [--seeds N] [--only NAME ...]

The first table has the matrices of one layer of a small Llama with falling singular values; the old basis is that of
the same matrix with noise. Cost is processor time on one thread, the best of nine (of three for SVDs); energy is the
captured one over that of the SVD's subspace. The second table has the same share for the bases of a run's first steps:
as they start, as they are found within twenty steps, and after the refresh that follows. The last table has the last
losses of a two-layer Llama on the bytes of the documentation; AdamW has there the rates that GaLore gives each
parameter, and galore-torch, if it is installed, is the authors' package. Its matrices are small: their first bases are
exact unless a row says otherwise.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from swift_optim_zoo import _bases
from swift_optim_zoo.galore_adamw import GaLoreAdamW

SHAPES = {(576, 576): 2, (192, 576): 2, (1536, 576): 3}
AUTHORS = {"refresh": "exact", "moments": "keep", "stagger": False, "products": "float32"}
RATE, LOW = 1e-2, {"rank": 16, "update_proj_gap": 10, "scale": 0.25}
OUTSIDE = ("embed", "lm_head", "norm")

Named = list[tuple[str, torch.nn.Parameter]]


def best(work: Callable[[], object], times: int = 9) -> float:
    """Return the least processor seconds of so many."""
    seconds = []
    for _ in range(times):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def matrix(shape: tuple[int, int], seed: int) -> torch.Tensor:
    """Return a matrix whose singular values fall as k^-0.7, seen from its longer side."""
    torch.manual_seed(seed)
    rows, columns = max(shape), min(shape)
    left, right = (torch.linalg.qr(torch.randn(side, columns))[0] for side in (rows, columns))
    return (left * torch.arange(1, columns + 1) ** -0.7) @ right.T


def captured(grad: torch.Tensor, basis: torch.Tensor) -> float:
    """Return the squared norm that a basis holds."""
    return float((grad @ basis).square().sum())


def refreshes(rank: int) -> None:
    """Print what refreshing a layer's matrices costs."""
    cost = dict.fromkeys(("svd", "float32", "bfloat16", "gram"), 0.0)
    energy = dict.fromkeys(("float32", "bfloat16"), 1.0)
    for number, (shape, count) in enumerate(SHAPES.items()):
        grad = matrix(shape, number)
        exact = _bases.svd_basis(grad, rank)
        old = _bases.svd_basis(grad + 0.5 * grad.std() * torch.randn_like(grad), rank)

        def renewed(narrow: bool, grad: torch.Tensor = grad, old: torch.Tensor = old) -> torch.Tensor:
            return _bases.aligned(_bases.subspace_basis(grad, old, narrow=narrow), old)

        cost["svd"] += count * best(lambda grad=grad: torch.linalg.svd(grad, full_matrices=False), times=3)
        cost["gram"] += count * best(lambda grad=grad: _bases.gram_basis(grad, rank))
        for name in energy:
            cost[name] += count * best(lambda name=name, renewed=renewed: renewed(name == "bfloat16"))
            energy[name] = min(energy[name], captured(grad, renewed(name == "bfloat16")) / captured(grad, exact))
    for name in ("gram", "float32", "bfloat16"):
        share = f"{energy[name]:.4f}" if name in energy else "1"
        print(f"{rank:>6}{name:>12}{cost['svd'] / cost[name]:>16.1f}{share:>12}")


def first_bases(rank: int) -> None:
    """Print what the bases of the first steps hold."""
    held = {"start": 1.0, "found": 1.0, "refreshed": 1.0}
    for number, shape in enumerate(SHAPES):
        grad = matrix(shape, number)
        best = captured(grad, _bases.svd_basis(grad, rank))
        found = _bases.subspace_basis(grad, _bases.sketch_basis(grad, rank, number))
        ways = (_bases.random_basis(grad, rank, number), found, _bases.subspace_basis(grad, found))
        for name, basis in zip(held, ways, strict=True):
            held[name] = min(held[name], captured(grad, basis) / best)
    print(f"{rank:>6}" + "".join(f"{share:>12.4f}" for share in held.values()))


def text() -> torch.Tensor:
    """Return the bytes of the documentation."""
    pages = sorted((Path(__file__).parents[1] / "docs").rglob("*.md"))
    return torch.tensor(list("".join(page.read_text(encoding="utf-8") for page in pages).encode()))


def last_loss(data: torch.Tensor, seed: int, num_steps: int, make: Callable[..., torch.optim.Optimizer]) -> float:
    """Train a two-layer Llama; return the mean loss of the last twenty steps."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = LlamaForCausalLM(config)
    optimizer = make(list(model.named_parameters()))
    losses = []
    for _ in range(num_steps):
        starts = torch.randint(0, len(data) - 65, (16,))
        batch = torch.stack([data[start : start + 64] for start in starts])
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return statistics.mean(losses[-20:])


def galore(**options: object) -> Callable[..., torch.optim.Optimizer]:
    """Return a maker of GaLore with the same rank, gap and scale."""
    return lambda named: GaLoreAdamW(named, lr=RATE, **LOW, **options)


def split(named: Named) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    """Return what GaLore projects, and the rest."""
    chosen = {name for name, param in named if param.dim() == 2 and not any(part in name for part in OUTSIDE)}
    return [p for name, p in named if name in chosen], [p for name, p in named if name not in chosen]


def adamw(named: Named) -> torch.optim.Optimizer:
    """Return AdamW with the rates of GaLore."""
    matrices, others = split(named)
    groups = [{"params": matrices, "lr": RATE * LOW["scale"]}, {"params": others}]
    return torch.optim.AdamW(groups, lr=RATE, weight_decay=0.0)


def authors(named: Named) -> torch.optim.Optimizer:
    """Return the optimizer of galore-torch, whose package asks for bitsandbytes when it is imported."""
    sys.modules.setdefault("bitsandbytes", types.ModuleType("bitsandbytes"))
    for part in ("functional", "optim", "optim.optimizer"):
        module = sys.modules.setdefault(f"bitsandbytes.{part}", types.ModuleType(part))
        module.Optimizer2State = torch.optim.Optimizer  # type: ignore[attr-defined]
    sys.modules["bitsandbytes"].functional = sys.modules["bitsandbytes.functional"]  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from galore_torch import GaLoreAdamW as Theirs

        matrices, others = split(named)
        groups = [{"params": matrices, "proj_type": "std", **LOW}, {"params": others}]
        return Theirs(groups, lr=RATE, eps=1e-8, weight_decay=0.0, no_deprecation_warning=True)


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--gap", type=int, default=LOW["update_proj_gap"], help="steps between two refreshes")
    parser.add_argument("--only", nargs="*", default=[], help="rows of the last table; then it is the only one")
    options = parser.parse_args()
    torch.set_num_threads(1)
    LOW["update_proj_gap"] = options.gap
    if not options.only:
        print(f"{'rank':>6}{'products':>12}{'times cheaper':>16}{'energy':>12}")
        for rank in (64, 128):
            refreshes(rank)
        print(f"{'rank':>6}{'start':>12}{'found':>12}{'refreshed':>12}")
        for rank in (64, 128):
            first_bases(rank)
    data = text()
    ways = {
        "adamw": adamw,
        "galore-torch": authors,
        "as the authors": galore(**AUTHORS),
        "align": galore(),
        "align, random": galore(first_basis="random"),
        "rotate": galore(moments="rotate"),
        "rotate, random": galore(moments="rotate", first_basis="random"),
        "reset": galore(moments="reset"),
        "keep": galore(moments="keep"),
    }
    print(f"{'moments':<16}" + "".join(f"{f'seed {seed}':>10}" for seed in range(options.seeds)) + f"{'mean':>10}")
    for name in options.only or ways:
        make = ways[name]
        losses = [last_loss(data, seed, options.steps, make) for seed in range(options.seeds)]
        print(
            f"{name:<16}" + "".join(f"{loss:>10.3f}" for loss in losses) + f"{statistics.mean(losses):>10.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
