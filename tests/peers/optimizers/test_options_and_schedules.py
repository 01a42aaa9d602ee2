"""Ten steps in float64 beside the authors' packages: other options, two groups, a schedule from 0 on, all shapes.

Where a rule of ours is not theirs it stands at the case: stable_adamw and soap have another default of weight decay
there; pytorch-optimizer's ADOPT decays at the step that only measures, its LARS takes no decay for vectors, its LAMB
does not correct the moments, which the papers do.
"""

from __future__ import annotations

import contextlib
import io
import warnings

import pytest
import torch
from tests.peers.optimizers.test_ten_steps import OURS, ours, package

OURS |= {
    "adafactor": "adafactor:Adafactor",
    "adagrad": "adagrad:Adagrad",
    "adam_mini": "adam_mini:AdamMini",
    "apollo_mini": "apollo_mini:ApolloMini",
    "galore_adafactor": "galore_adafactor:GaLoreAdafactor",
    "lars": "lars:Lars",
    "muon": "muon:Muon",
    "rmsprop": "rmsprop:RMSprop",
    "sgd": "sgd:SGD",
}
MATRICES = {"up.weight": (12, 8), "down.weight": (6, 10)}
SHAPES = MATRICES | {"conv.weight": (4, 3, 2, 2), "seq.weight": (3, 4, 5), "norm.weight": (8,), "x.bias": (5,)}
RATES = (0.0, 0.5, 1.0, 1.0, 0.7, 0.3, 0.9, 0.2, 0.1, 0.05)
"""Shares of the learning rate, step by step."""

LR = {"lr": 1e-2}
DECAY, BETAS, EPS, ZERO = {"weight_decay": 0.1}, {"betas": (0.8, 0.95)}, {"eps": 1e-3}, {"lr": 0.0}
NO_DECAY = {"weight_decay": 0.0}
ADAM = (NO_DECAY, DECAY, NO_DECAY | BETAS, NO_DECAY | EPS, NO_DECAY | ZERO)


def parameters(shapes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for name, shape in shapes.items()
    }


def run(optimizer, params, rates=None):
    """Step through gradients that grow and shrink."""
    generator = torch.Generator().manual_seed(1)
    full = [group["lr"] for group in optimizer.param_groups]
    for step in range(10):
        for group, lr in zip(optimizer.param_groups, full, strict=True):
            group["lr"] = lr * rates[step] if rates else lr
        for param in params.values():
            param.grad = torch.randn(param.shape, generator=generator, dtype=param.dtype) * (1 + step % 3)
        optimizer.step()
    return {name: param.detach() for name, param in params.items()}


def assert_same(mine, theirs, tolerance):
    for name, expected in theirs.items():
        torch.testing.assert_close(
            mine[name], expected, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


def peer_of(module, cls):
    if module == "torch":
        return getattr(torch.optim, cls)
    return getattr(package(module), cls)


CASES = [
    ("lion", "lion_pytorch", "Lion", LR, {}, {}, (NO_DECAY, DECAY, BETAS)),
    ("came", "came_pytorch", "CAME", LR, {}, {"betas": (0.9, 0.999, 0.9999)}, (NO_DECAY, DECAY)),
    (
        "prodigy",
        "prodigyopt",
        "Prodigy",
        {"lr": 1.0, "d0": 1e-3},
        {},
        {},
        (
            *ADAM[:4],
            {"use_bias_correction": True},
            {"safeguard_warmup": True},
            {"growth_rate": 1.02},
            {"d_coef": 0.5},
            {"beta3": 0.9},
            {"slice_p": 3},
        ),
    ),
    (
        "schedule_free",
        "schedulefree",
        "AdamWScheduleFree",
        LR,
        {},
        {"foreach": False},
        (*ADAM, {"r": 1.0}, {"weight_lr_power": 1.0}),
    ),
    ("ademamix", "pytorch_optimizer", "AdEMAMix", LR, {}, {"weight_decouple": True}, (*ADAM[:2], *ADAM[3:])),
    (
        "adopt",
        "pytorch_optimizer",
        "ADOPT",
        LR,
        {"clip": False},
        {"clip_lambda": None, "weight_decouple": True},
        (EPS, EPS | BETAS),
    ),
    ("stable_adamw", "pytorch_optimizer", "StableAdamW", LR, {}, {"kahan_sum": False}, ADAM),
    ("soap", "pytorch_optimizer", "SOAP", LR | BETAS, {}, {}, (*ADAM[:2], DECAY | {"precondition_frequency": 3})),
    ("lars", "pytorch_optimizer", "LARS", LR, {}, {}, (NO_DECAY,)),
    ("sgd", "torch", "SGD", LR, {}, {}, (DECAY, {"momentum": 0.9}, DECAY | {"momentum": 0.9, "nesterov": True})),
    (
        "adagrad",
        "torch",
        "Adagrad",
        LR,
        {},
        {},
        (DECAY, EPS, {"lr_decay": 0.1}, {"initial_accumulator_value": 0.5}),
    ),
    (
        "rmsprop",
        "torch",
        "RMSprop",
        LR,
        {},
        {},
        (DECAY, EPS, {"alpha": 0.8}, {"momentum": 0.9}, {"momentum": 0.9, "centered": True}),
    ),
    (
        "adafactor",
        "torch",
        "Adafactor",
        LR,
        {"scale_parameter": True, "relative_step": True, "eps": torch.finfo(torch.float64).eps ** 2},
        {},
        (NO_DECAY, DECAY),
    ),
    (
        "muon",
        "torch",
        "Muon",
        LR | {"adjust_lr_fn": "match_rms_adamw"},
        {},
        {},
        (NO_DECAY, DECAY, NO_DECAY | {"nesterov": False, "momentum": 0.8, "ns_steps": 3}),
    ),
]
ONLY_MATRICES = {"soap", "muon"}
TOLERANCE = {"soap": 1e-6}
"""Their eigenbasis is turned in float32."""


@pytest.mark.parametrize(
    ("name", "module", "cls", "common", "own", "other", "variants"), CASES, ids=[case[0] for case in CASES]
)
def test_ten_steps_agree_under_every_option(name, module, cls, common, own, other, variants):
    shapes = MATRICES if name in ONLY_MATRICES else SHAPES
    for variant in variants:
        mine, theirs = parameters(shapes), parameters(shapes)
        reference = peer_of(module, cls)(list(theirs.values()), **(common | other | variant))
        expected = run(_in_training(reference), theirs)
        assert_same(run(ours(name, mine, **(common | own | variant)), mine), expected, TOLERANCE.get(name, 1e-12))


@pytest.mark.parametrize(
    ("name", "module", "cls", "common", "own", "other", "variants"), CASES, ids=[case[0] for case in CASES]
)
def test_ten_steps_agree_with_two_groups_and_a_schedule(name, module, cls, common, own, other, variants):
    shapes = MATRICES if name in ONLY_MATRICES else SHAPES
    mine, theirs = parameters(shapes), parameters(shapes)
    halves = list(shapes)[: len(shapes) // 2], list(shapes)[len(shapes) // 2 :]
    decays = (0.1, 0.0)

    def groups(params):
        lr = common.get("lr", 1.0)
        rates = (lr, lr if name == "prodigy" else lr / 3)  # which takes one rate for all groups
        return [
            {"params": [params[n] for n in half], "weight_decay": d, "lr": rate}
            for half, d, rate in zip(halves, decays, rates, strict=True)
        ]

    reference = peer_of(module, cls)(groups(theirs), **(common | other | variants[0]))
    named = [{**group, "param_names": half} for group, half in zip(groups(mine), halves, strict=True)]
    target = type(ours(name, mine, **(common | own | variants[0])))
    optimizer = target(named, **(common | own | variants[0]))
    assert_same(run(optimizer, mine, RATES), run(_in_training(reference), theirs, RATES), 1e-12)


def _in_training(optimizer):
    if hasattr(optimizer, "train"):
        optimizer.train()
    return optimizer


LLAMA = {
    "embed.weight": (12, 8),
    "layers.0.q_proj.weight": (8, 8),
    "layers.0.k_proj.weight": (8, 8),
    "layers.0.v_proj.weight": (8, 8),
    "layers.0.o_proj.weight": (8, 8),
    "layers.0.mlp.up.weight": (16, 8),
    "layers.0.q_proj.bias": (8,),
    "norm.weight": (8,),
    "lm_head.weight": (12, 8),
}


@pytest.mark.parametrize("variant", [NO_DECAY, DECAY, NO_DECAY | BETAS, NO_DECAY | EPS])
@pytest.mark.parametrize("rates", [None, RATES])
def test_adam_mini_is_that_of_its_authors(variant, rates):
    mine, theirs = parameters(LLAMA), parameters(LLAMA)
    with contextlib.redirect_stdout(io.StringIO()):
        heads = {"dim": 8, "n_heads": 2, "n_kv_heads": 2, "verbose": False}
        reference = package("adam_mini").Adam_mini(list(theirs.items()), **heads, **(LR | variant))
        expected = run(reference, theirs, rates)
    plain = [name for name in LLAMA if "norm" in name or "bias" in name]  # which they never decay
    others = [name for name in LLAMA if name not in plain]
    target = type(ours("adam_mini", mine))
    groups = [
        {"params": [mine[n] for n in others], "param_names": others},
        {"params": [mine[n] for n in plain], "param_names": plain, "weight_decay": 0.0},
    ]
    assert_same(run(target(groups, head_size=4, **(LR | variant)), mine, rates), expected, 1e-12)


LOW = {"rank": 2, "update_proj_gap": 200, "scale": 0.25, "proj_type": "std"}
LOW_SHAPES = {"a": (12, 8), "b": (6, 10), "c": (8, 8), "n": (5,)}
AUTHORS = {"refresh": "exact", "moments": "keep", "stagger": False, "products": "float32"}


def low_groups(params, low):
    return [
        {"params": [p for p in params.values() if p.dim() == 2], **low},
        {"params": [p for p in params.values() if p.dim() < 2]},
    ]


def fixed_signs(svd):
    """Return an SVD whose singular vectors have the signs that ours have."""

    def decompose(matrix, full_matrices=True):
        left, values, right = svd(matrix, full_matrices=full_matrices)
        for vectors in (left.T, right):
            largest = vectors.abs().argmax(dim=1, keepdim=True)
            vectors.mul_(torch.where(vectors.gather(1, largest) < 0, -1.0, 1.0))
        return left, values, right

    return decompose


@pytest.mark.parametrize("rates", [None, RATES])
@pytest.mark.parametrize(
    ("low", "variant"),
    [
        ({}, {}),
        ({}, DECAY),
        ({}, BETAS),
        ({}, EPS),
        ({"proj_type": "reverse_std"}, {}),
        ({"proj_type": "right"}, {}),
        ({"proj_type": "left"}, {}),
        ({"rank": 4, "scale": 2.0}, {}),
        ({"update_proj_gap": 4}, {}),
        ({"update_proj_gap": 1}, DECAY),
    ],
)
def test_galore_is_that_of_galore_torch_with_its_signs_fixed(low, variant, rates, monkeypatch):
    peer, low = package("galore_torch"), LOW | low
    monkeypatch.setattr(torch.linalg, "svd", fixed_signs(torch.linalg.svd))
    mine, theirs = parameters(LOW_SHAPES), parameters(LOW_SHAPES)
    options = LR | {"eps": 1e-6} | variant
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = peer.GaLoreAdamW(low_groups(theirs, low), no_deprecation_warning=True, **options)
        expected = run(reference, theirs, rates)
    # Their projector decomposes in float32 whatever the gradient is.
    assert_same(run(ours("galore", mine, **low, **AUTHORS, **options), mine, rates), expected, 1e-5)


@pytest.mark.parametrize(
    "variant", [{}, DECAY, {"beta1": 0.9}, {"clip_threshold": 0.5, "decay_rate": -0.5}], ids=lambda v: " ".join(v)
)
@pytest.mark.parametrize("rates", [None, RATES])
def test_galore_with_adafactor_is_that_of_galore_torch(variant, rates):
    mine, theirs = parameters(LOW_SHAPES), parameters(LOW_SHAPES)
    off = {"scale_parameter": False, "relative_step": False, "warmup_init": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = package("galore_torch").GaLoreAdafactor(low_groups(theirs, LOW), **off, **LR, **variant)
        expected = run(reference, theirs, rates)
    assert_same(run(ours("galore_adafactor", mine, **LOW, **LR, **variant), mine, rates), expected, 1e-6)


@pytest.mark.parametrize("variant", [{}, DECAY, BETAS, {"update_proj_gap": 3}], ids=lambda v: " ".join(v))
@pytest.mark.parametrize("rates", [None, RATES])
@pytest.mark.parametrize(
    ("name", "low", "kind"),
    [("apollo", {"rank": 2, "scale": 1.0}, "channel"), ("apollo_mini", {"rank": 1, "scale": 128.0}, "tensor")],
)
def test_apollo_is_that_of_its_authors(name, low, kind, rates, variant):
    shapes = {name: shape for name, shape in LOW_SHAPES.items() if name != "c"}
    mine, theirs = parameters(shapes, torch.float32), parameters(shapes, torch.float32)
    options = LR | {"eps": 1e-6} | {key: value for key, value in variant.items() if key != "update_proj_gap"}
    low = low | {"update_proj_gap": variant.get("update_proj_gap", 200)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        groups = low_groups(theirs, low | {"proj": "random", "proj_type": "std", "scale_type": kind})
        reference = package("apollo_torch").APOLLOAdamW(groups, no_deprecation_warning=True, **options)
        expected = run(reference, theirs, rates)
    assert_same(run(ours(name, mine, **low, **options), mine, rates), expected, 2e-6)
