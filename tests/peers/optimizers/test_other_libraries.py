"""Ten steps in float64 beside what other libraries have by default, by options that the pages name for it.

Where libraries differ about a rule each of them is one set of our options. Two groups with different rates and decay,
and a schedule, come with every case, shapes of all dimensions where the library takes them.
"""

from __future__ import annotations

import math

import pytest
import torch
from tests.peers.optimizers.test_options_and_schedules import (
    BETAS,
    DECAY,
    EPS,
    LR,
    MATRICES,
    NO_DECAY,
    RATES,
    SHAPES,
    assert_same,
    fixed_signs,
    low_groups,
    parameters,
    run,
)
from tests.peers.optimizers.test_ten_steps import OURS, ours, package

OURS |= {
    "adalomo": "adalomo:AdaLomo",
    "fira": "fira:Fira",
    "lamb": "lamb:Lamb",
    "lomo": "lomo:Lomo",
    "sophia": "sophia:Sophia",
}

VECTORS = {"norm.weight": (8,), "x.bias": (5,)}
LARS = {"lr": 0.5, "momentum": 0.9}
OF_FAIRSEQ = {"lr": 1e-2, "scale_parameter": True, "relative_step": True, "scaled_decay": True}
"""Adafactor's relative step with the ceiling that fairseq, transformers and timm have."""

FREE = {"scale_parameter": False, "relative_step": False}

CASES = {
    "adopt of timm": ("timm.optim.adopt:Adopt", LR, {}, "adopt", {"decoupled_decay": False, "clip_power": 0.333}),
    "adopt of its paper": (
        "timm.optim.adopt:Adopt",
        LR | BETAS,
        {"decoupled": True, "clip_exp": 0.25},
        "adopt",
        {},
    ),
    "adopt of its authors' default": (
        "timm.optim.adopt:Adopt",
        LR | EPS,
        {"clip_exp": 0.25},
        "adopt",
        {"decoupled_decay": False},
    ),
    "adafactor of transformers": ("transformers.optimization:Adafactor", {}, {}, "adafactor", OF_FAIRSEQ),
    "adafactor of transformers, warmed up": (
        "transformers.optimization:Adafactor",
        {},
        {"warmup_init": True, "beta1": 0.9},
        "adafactor",
        OF_FAIRSEQ | {"warmup_init": True, "beta1": 0.9},
    ),
    "adafactor of transformers, with a rate": (
        "transformers.optimization:Adafactor",
        LR,
        FREE | {"clip_threshold": 0.5, "decay_rate": -0.6},
        "adafactor",
        {"clip_threshold": 0.5, "decay_rate": -0.6},
    ),
    "adafactor of transformers, scaled": (
        "transformers.optimization:Adafactor",
        LR,
        {"relative_step": False},
        "adafactor",
        {"scale_parameter": True, "scaled_decay": True},
    ),
    "lars of timm": ("timm.optim.lars:Lars", LARS, {}, "lars", {"adapt_vectors": True, "adapt_undecayed": False}),
    "lars of timm, always": (
        "timm.optim.lars:Lars",
        LARS | {"nesterov": True},
        {"always_adapt": True},
        "lars",
        {"adapt_vectors": True},
    ),
    "larc": (
        "timm.optim.lars:Lars",
        {"lr": 1e-4, "momentum": 0.0},
        {"trust_clip": True},
        "lars",
        {"adapt_vectors": True, "adapt_undecayed": False, "trust_clip": True},
    ),
    "lars of torch-optimizer": (
        "torch_optimizer:LARS",
        LARS,
        {},
        "lars",
        {"trust_coefficient": 0.01, "adapt_vectors": True, "adapt_undecayed": False},
    ),
    "lamb of timm": (
        "timm.optim.lamb:Lamb",
        LR,
        {"max_grad_norm": None},
        "lamb",
        {"adapt_undecayed": False},
    ),
    "lamb of timm, always and clipped": (
        "timm.optim.lamb:Lamb",
        {"lr": 0.1} | BETAS,
        {"max_grad_norm": None, "always_adapt": True, "trust_clip": True},
        "lamb",
        {"trust_clip": True},
    ),
    "lamb without correction, of timm": (
        "timm.optim.lamb:Lamb",
        LR | EPS,
        {"max_grad_norm": None, "always_adapt": True, "bias_correction": False},
        "lamb",
        {"correct_bias": False},
    ),
    "lamb of torch-optimizer": (
        "torch_optimizer:Lamb",
        LR,
        {"clamp_value": 3.0},
        "lamb",
        {"correct_bias": False, "max_weight_norm": 3.0},
    ),
    "lion of timm": ("timm.optim.lion:Lion", LR, {}, "lion", {}),
    "lion of optimi": ("optimi:Lion", LR, {"triton": False}, "lion", {}),
    "stable_adamw of optimi": ("optimi:StableAdamW", LR, {"triton": False}, "stable_adamw", {"eps": 1e-6}),
    "stable_adamw of optimi, other options": (
        "optimi:StableAdamW",
        LR | BETAS | EPS,
        {"triton": False},
        "stable_adamw",
        {},
    ),
    "sgd with dampening": ("torch.optim:SGD", LR, {"momentum": 0.9, "dampening": 0.3}, "sgd", {}),
    "sgd of optimi": ("optimi:SGD", LR, {"momentum": 0.9, "triton": False}, "sgd", {}),
    "sgd of optimi, decoupled": (
        "optimi:SGD",
        LR,
        {"momentum": 0.9, "decouple_wd": True, "triton": False},
        "sgd",
        {"decoupled_decay": True},
    ),
    "ademamix with its warm-ups": (
        "pytorch_optimizer:AdEMAMix",
        LR,
        {"weight_decouple": True, "betas": (0.9, 0.95, 0.999), "t_alpha_beta3": 6, "alpha": 8.0},
        "ademamix",
        {"betas": (0.9, 0.95), "beta3": 0.999, "alpha": 8.0, "alpha_warmup": 6, "beta3_warmup": 6},
    ),
    "schedule_free_adamw with its warm-up": (
        "schedulefree:AdamWScheduleFree",
        LR,
        {"warmup_steps": 4, "foreach": False},
        "schedule_free",
        {"warmup_steps": 4},
    ),
    "came of pytorch-optimizer": (
        "pytorch_optimizer:CAME",
        LR,
        {"betas": (0.8, 0.95, 0.99), "eps1": 1e-20, "eps2": 1e-12, "clip_threshold": 0.5, "weight_decouple": True},
        "came",
        {"betas": (0.8, 0.95), "beta3": 0.99, "eps": 1e-20, "eps_confidence": 1e-12, "clip_threshold": 0.5},
    ),
    "sophia of its authors": (
        "sophia_opt:SophiaG",
        {"lr": 1e-2, "rho": 0.04},
        {},
        "sophia",
        {"estimator": "sampled", "num_tokens": 5120},
    ),
}
HAS_ITS_OWN_RATE = {"adafactor of transformers", "adafactor of transformers, warmed up"}


def find(target):
    """Import `module:attribute` of a peer."""
    module, _, attribute = target.partition(":")
    return getattr(package(module), attribute)


def grouped(params, decays, options):
    """Return every other parameter in a group, the second one at a third of the rate where there is a rate."""
    names = list(params)
    first, second = (
        {"params": [params[name] for name in half], "weight_decay": decay}
        for half, decay in zip((names[::2], names[1::2]), decays, strict=True)
    )
    return [first, second | ({"lr": options["lr"] / 3} if "lr" in options else {})]


@pytest.mark.parametrize(
    ("case", "rates"),
    [(case, rates) for case in CASES for rates in ([None] if case in HAS_ITS_OWN_RATE else [None, RATES])],
    ids=lambda value: value if isinstance(value, str) else "schedule" if value else "constant",
)
@pytest.mark.parametrize("decays", [(0.0, 0.0), (0.1, 0.0), (0.1, 0.3)], ids=str)
def test_our_options_give_the_numbers_of_the_library(case, decays, rates):
    target, common, other, name, own = CASES[case]
    mine, theirs = parameters(SHAPES), parameters(SHAPES)
    reference = find(target)(grouped(theirs, decays, common), **common, **other)
    shared = {key: value for key, value in other.items() if name == "sgd" and key in {"momentum", "dampening"}}
    optimizer = type(ours(name, mine))(grouped(mine, decays, common), **common, **shared, **own)
    for each in (reference, optimizer):
        if hasattr(each, "train"):
            each.train()
    take(reference, optimizer, mine, theirs, rates)
    assert_same(mine, theirs, 1e-8)  # theirs add up to 1e-8 to norms


def take(reference, optimizer, mine, theirs, rates):
    """Step both through one list of gradients; a curvature comes before every third step where there is one."""
    generator = torch.Generator().manual_seed(1)
    full = [group["lr"] for group in optimizer.param_groups]
    for step in range(10):
        for each in (reference, optimizer) if rates else ():
            for group, lr in zip(each.param_groups, full, strict=True):
                group["lr"] = lr * rates[step]
        drawn = {name: torch.randn(p.shape, generator=generator, dtype=p.dtype) for name, p in mine.items()}
        for each, params in ((reference, theirs), (optimizer, mine)):
            if hasattr(each, "update_hessian") and step % 3 == 0:
                set_gradients(params, drawn, 0.1)
                each.update_hessian()
            set_gradients(params, drawn, 1 + step % 3)
            each.step()


def set_gradients(params, drawn, factor):
    for name, param in params.items():
        param.grad = drawn[name] * factor


@pytest.mark.parametrize("rates", [None, RATES], ids=["constant", "schedule"])
@pytest.mark.parametrize(
    ("variant", "own"),
    [
        ({}, {}),
        ({"precondition_1d": True}, {"precondition_1d": True}),
        ({"correct_bias": False, "shampoo_beta": 0.8}, {"correct_bias": False, "shampoo_beta": 0.8}),
        ({"normalize_gradient": True}, {"normalize_grads": True}),
        ({"max_precondition_dim": 6}, {"max_precondition_dim": 6}),
        ({"precondition_frequency": 3}, {"precondition_frequency": 3}),
    ],
)
def test_soap_is_that_of_its_authors_for_tensors_of_all_dimensions(variant, own, rates):
    mine, theirs = parameters(SHAPES), parameters(SHAPES)
    options = {"lr": 1e-2, "weight_decay": 0.1}
    reference = find("pytorch_optimizer:SOAP")(list(theirs.values()), **options, **variant)
    optimizer = ours("soap", mine, **options, **own)
    # Their bases are turned in float32; without matrices for them vectors have no such error.
    assert_same(run(optimizer, mine, rates), run(reference, theirs, rates), 2e-5)


@pytest.mark.parametrize("rates", [None, RATES], ids=["constant", "schedule"])
def test_muon_with_the_original_factor_is_that_of_its_author(rates, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor)  # where sums in another order differ by 2 %
    mine, theirs = parameters(MATRICES), parameters(MATRICES)
    options = {"lr": 0.02, "weight_decay": 0.1}
    reference = find("muon:SingleDeviceMuon")(list(theirs.values()), **options)
    expected = run(reference, theirs, rates)
    optimizer = ours("muon", mine, adjust_lr_fn="original", ns_dtype="state", **options)
    assert_same(run(optimizer, mine, rates), expected, 1e-7)  # theirs adds 1e-7 to a norm


@pytest.mark.parametrize("coefficients", [(3.4445, -4.7750, 2.0315), (2.0, -1.5, 0.5)])
def test_muon_takes_the_coefficients_that_muon_of_torch_takes(coefficients):
    mine, theirs = parameters(MATRICES, torch.float32), parameters(MATRICES, torch.float32)
    options = {"lr": 0.02, "weight_decay": 0.1, "ns_coefficients": coefficients, "adjust_lr_fn": "original"}
    expected = run(torch.optim.Muon(list(theirs.values()), **options), theirs, RATES)
    assert_same(run(ours("muon", mine, **options), mine, RATES), expected, 0.0)


LLAMA_AND_MORE = {"wte.weight": (12, 8), "mlp.up.weight": (16, 8), "w1": (6, 8), "conv.weight": (4, 3, 2, 2)}


def test_adam_mini_takes_the_whole_of_a_matrix_with_another_name_as_its_authors_do():
    mine, theirs = parameters(LLAMA_AND_MORE), parameters(LLAMA_AND_MORE)
    reference = find("adam_mini:Adam_mini")(list(theirs.items()), **LR, **DECAY, verbose=False)
    expected = run(reference, theirs, RATES)
    assert_same(run(ours("adam_mini", mine, other_blocks="tensor", **LR, **DECAY), mine, RATES), expected, 1e-12)


class Weights(torch.nn.Module):
    """A model that is its weights alone, of names without dots; its loss has `gradients` as gradient."""

    def __init__(self, shapes):
        super().__init__()
        for name, param in parameters(shapes, torch.float32).items():
            self.register_parameter(name.replace(".", "_"), param)

    def loss(self, gradients):
        """Return the loss."""
        return sum((param * gradients[name]).sum() for name, param in self.named_parameters())


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"clip_value": 0.5}], ids=str)
@pytest.mark.parametrize("rates", [None, RATES], ids=["constant", "schedule"])
@pytest.mark.parametrize(("name", "cls"), [("lomo", "Lomo"), ("adalomo", "AdaLomo")])
def test_lomo_is_that_of_its_authors(name, cls, rates, options, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)  # its states are on a GPU, or nowhere
    shapes = MATRICES | VECTORS
    mine, theirs = Weights(shapes), Weights(shapes)
    other = {{"clip_value": "clip_grad_value"}.get(key, key): value for key, value in options.items()}
    reference = find(f"lomo_optim:{cls}")(theirs, lr=0.1, **other)
    optimizer = ours(name, dict(mine.named_parameters()), lr=0.1, **options)
    generator = torch.Generator().manual_seed(1)
    for step in range(10):
        lr = 0.1 * (rates[step] if rates else 1)
        drawn = {
            key: torch.randn(param.shape, generator=generator) * (1 + step % 3)
            for key, param in mine.named_parameters()
        }
        optimizer.param_groups[0]["lr"] = lr
        mine.loss(drawn).backward()
        optimizer.step()
        optimizer.zero_grad()
        reference.fused_backward(theirs.loss(drawn), lr)
    assert_same(dict(mine.named_parameters()), dict(theirs.named_parameters()), 2e-6)


@pytest.mark.parametrize("rates", [None, RATES], ids=["constant", "schedule"])
@pytest.mark.parametrize(
    ("low", "variant"),
    [
        ({}, {}),
        ({}, DECAY),
        ({"proj_type": "reverse_std"}, BETAS),
        ({"proj_type": "right"}, {}),
        ({"proj_type": "left"}, {}),
        ({"update_proj_gap": 4}, DECAY),
        ({"rank": 4, "scale": 0.5}, {}),
    ],
)
def test_fira_is_that_of_its_authors_with_its_signs_fixed(low, variant, rates, monkeypatch):
    monkeypatch.setattr(torch.linalg, "svd", fixed_signs(torch.linalg.svd))
    low = {"rank": 2, "update_proj_gap": 200, "scale": 1.0, "proj_type": "std"} | low
    shapes = {"a": (12, 8), "b": (6, 10), "n": (5,)}
    mine, theirs = parameters(shapes, torch.float32), parameters(shapes, torch.float32)
    groups = low_groups(theirs, {"alpha" if key == "scale" else key: value for key, value in low.items()})
    reference = find("fira:FiraAdamW")(groups, no_deprecation_warning=True, **LR, eps=1e-6, **variant)
    authors = {"refresh": "exact", "moments": "keep", "stagger": False, "products": "float32"}
    optimizer = ours("fira", mine, **low, **authors, **LR, eps=1e-6, **variant)
    assert_same(run(optimizer, mine, rates), run(reference, theirs, rates), 2e-5)


def test_a_warm_up_from_one_over_its_steps_is_what_the_schedule_says():
    plain, warmed = parameters(MATRICES), parameters(MATRICES)
    rates = [min(1.0, (step + 1) / 4) for step in range(10)]
    expected = run(ours("schedule_free", plain, **LR, **NO_DECAY), plain, rates)
    assert_same(run(ours("schedule_free", warmed, warmup_steps=4, **LR, **NO_DECAY), warmed), expected, 1e-14)
    assert math.isclose(rates[0], 0.25)
