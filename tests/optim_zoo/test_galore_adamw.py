import copy
import io
import logging
import math
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.galore_adamw import GaLoreReference
from tests.reference.low_rank import low_rank_plus_noise
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from swift_optim_zoo.galore_adamw import GaLoreAdamW

SIDES = {
    "std": ("right", "left"),
    "reverse_std": ("left", "right"),
    "right": ("right", "right"),
    "left": ("left", "left"),
    "full": ("both", "both"),
}
SMALL = {"step", "refresh_at", "energy"}


def gradients(shape, num_steps, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for _ in range(num_steps)]


def parameter(shape, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype))


def apply(optimizer, param, grads):
    for grad in grads:
        param.grad = grad.clone()
        optimizer.step()


def reload(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(2, 9),
    columns=st.integers(2, 9),
    rank=st.integers(1, 9),
    gap=st.integers(1, 5),
    proj_type=st.sampled_from(sorted(SIDES)),
    moments=st.sampled_from(["align", "rotate", "reset", "keep"]),
    lr=st.floats(1e-4, 1e-1),
    beta1=st.floats(0.0, 0.95),
    beta2=st.floats(0.5, 0.999),
    weight_decay=st.sampled_from([0.0, 0.01, 0.5]),
    scale=st.floats(0.05, 2.0),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(
    rows, columns, rank, gap, proj_type, moments, lr, beta1, beta2, weight_decay, scale, seed
):
    param = parameter((rows, columns), seed)
    side = SIDES[proj_type][0 if rows >= columns else 1] if rank <= min(rows, columns) else None
    common = {
        "lr": lr,
        "betas": (beta1, beta2),
        "eps": 1e-4,  # both sides projected, the gradient is diagonal up to rounding, which eps must cover
        "weight_decay": weight_decay,
        "rank": rank,
        "scale": scale,
    }
    oracle = GaLoreReference(param.detach().numpy(), gap=gap, side=side, moments=moments, **common)
    optimizer = GaLoreAdamW(
        [param], update_proj_gap=gap, proj_type=proj_type, refresh="exact", moments=moments, **common
    )
    for grad in gradients((rows, columns), 8, seed + 1):
        apply(optimizer, param, [grad])
        oracle.step(grad.numpy())
    np.testing.assert_allclose(param.detach().numpy(), oracle.weight, rtol=1e-9, atol=1e-11)


def test_parameters_that_are_no_matrix_follow_the_same_rule_unprojected():
    param = parameter((7,))
    oracle = GaLoreReference(
        param.detach().numpy(),
        lr=1e-2,
        betas=(0.9, 0.99),
        eps=1e-8,
        weight_decay=0.1,
        rank=2,
        gap=3,
        scale=0.25,
        side=None,
    )
    optimizer = GaLoreAdamW([param], lr=1e-2, betas=(0.9, 0.99), weight_decay=0.1, rank=2)
    for grad in gradients((7,), 6):
        apply(optimizer, param, [grad])
        oracle.step(grad.numpy())
    np.testing.assert_allclose(param.detach().numpy(), oracle.weight, rtol=1e-12)


def test_without_decay_an_unprojected_parameter_moves_as_under_adamw_of_torch():
    ours, theirs = parameter((5, 3)), parameter((5, 3))
    first = GaLoreAdamW([ours], lr=1e-2, eps=0.0, rank=4)
    second = torch.optim.AdamW([theirs], lr=1e-2, eps=0.0, weight_decay=0.0)
    grads = gradients((5, 3), 6)
    apply(first, ours, grads)
    apply(second, theirs, grads)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_a_gradient_of_one_direction_moves_by_lr_times_scale_at_first():
    param = torch.nn.Parameter(torch.zeros(2, 2))
    optimizer = GaLoreAdamW([param], lr=0.1, scale=0.5, rank=1)
    apply(optimizer, param, [torch.tensor([[3.0, 0.0], [0.0, 0.0]])])
    torch.testing.assert_close(param.detach(), torch.tensor([[-0.05, 0.0], [0.0, 0.0]]), atol=1e-6, rtol=0)


def test_only_matrices_that_are_named_are_projected():
    names = [
        "embed_tokens.weight",
        "layers.0.mlp.up_proj.weight",
        "layers.0.norm.weight",
        "lm_head.weight",
        "layers.0.attn.q_proj.weight",
    ]
    params = [parameter((8, 6)) for _ in names]
    params[2] = parameter((6,))

    def sides(**options):
        group = {"params": params, "param_names": names, "weight_decay": 0.0}
        return GaLoreAdamW([group], rank=2, **options).param_groups[0]["sides"]

    assert sides() == [None, "right", None, None, "right"]
    assert sides(target_modules=("attn",)) == [None, None, None, None, "right"]
    assert sides(exclude_modules=()) == ["right", "right", None, "right", "right"]


def test_states_have_the_size_the_formula_needs_and_no_more():
    param = parameter((20, 12), dtype=torch.float32)
    optimizer = GaLoreAdamW([param], rank=3)
    apply(optimizer, param, gradients((20, 12), 2, dtype=torch.float32))
    state = optimizer.state[param]
    stored = sum(value.untyped_storage().nbytes() for key, value in state.items() if key not in SMALL)
    assert stored == 4 * (2 * 20 * 3 + 12 * 3)


def test_a_larger_rank_than_the_matrix_falls_back_and_says_so(caplog):
    param = parameter((8, 3))
    with caplog.at_level(logging.WARNING):
        optimizer = GaLoreAdamW([param], rank=4)
    assert "projects no parameter: of 1 matrices none is chosen by its name and at least rank 4" in caplog.text
    apply(optimizer, param, gradients((8, 3), 1))
    assert optimizer.state[param]["exp_avg"].shape == (8, 3)


@pytest.mark.parametrize("refresh", ["exact", "subspace"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_resumes_bit_for_bit_in_the_middle_of_a_gap(refresh, dtype):
    options = {"lr": 1e-2, "rank": 3, "update_proj_gap": 4, "refresh": refresh, "weight_decay": 0.1}
    grads = gradients((10, 6), 12, dtype=dtype)
    straight = parameter((10, 6), dtype=dtype)
    apply(GaLoreAdamW([straight], **options), straight, grads)

    halfway = parameter((10, 6), dtype=dtype)
    first = GaLoreAdamW([halfway], **options)
    apply(first, halfway, grads[:6])
    resumed = torch.nn.Parameter(halfway.detach().clone())
    second = GaLoreAdamW([resumed], **options)
    second.load_state_dict(reload(first.state_dict()))
    apply(second, resumed, grads[6:])
    assert torch.equal(resumed, straight)


def test_a_loaded_state_shares_no_memory_with_the_file():
    param = parameter((10, 6))
    optimizer = GaLoreAdamW([param], rank=3)
    apply(optimizer, param, gradients((10, 6), 1))
    saved = copy.deepcopy(optimizer.state_dict())
    other = GaLoreAdamW([param], rank=3)
    other.load_state_dict(saved)
    before = saved["state"][0]["exp_avg"].clone()
    apply(other, param, gradients((10, 6), 1))
    assert torch.equal(saved["state"][0]["exp_avg"], before)


def test_refuses_the_state_of_another_rank():
    param = parameter((10, 6))
    optimizer = GaLoreAdamW([param], rank=3)
    apply(optimizer, param, gradients((10, 6), 1))
    saved = optimizer.state_dict()
    saved["param_groups"][0]["rank"] = 2
    with pytest.raises(ValueError, match=r"a moment is \[10, 3\], this run needs \[10, 2\]"):
        GaLoreAdamW([param], rank=2).load_state_dict(saved)


def test_refuses_the_state_of_plain_adamw_for_projected_matrices():
    param = parameter((10, 6))
    plain = torch.optim.AdamW([param])
    apply(plain, param, gradients((10, 6), 1))
    with pytest.raises(ValueError, match="the saved optimizer state does not fit"):
        GaLoreAdamW([param], rank=2).load_state_dict(plain.state_dict())


def test_takes_the_state_of_plain_adamw_for_what_is_not_projected():
    param = parameter((6,))
    plain = torch.optim.AdamW([param], lr=1e-2, eps=0.0, weight_decay=0.0)
    apply(plain, param, gradients((6,), 3))
    other = torch.nn.Parameter(param.detach().clone())
    ours = GaLoreAdamW([other], rank=2)
    ours.load_state_dict(plain.state_dict())
    apply(plain, param, gradients((6,), 2, seed=5))
    apply(ours, other, gradients((6,), 2, seed=5))
    torch.testing.assert_close(other, param, rtol=1e-12, atol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_puts_off_a_refresh_whose_gradient_is_not_finite(bad, caplog):
    grads = gradients((6, 4), 5)
    poisoned = grads[0].clone()
    poisoned[0, 0] = bad
    options = {"lr": 1e-2, "rank": 2, "update_proj_gap": 2, "weight_decay": 0.1}
    clean, hit = parameter((6, 4)), parameter((6, 4))
    apply(GaLoreAdamW([clean], **options), clean, grads)
    optimizer = GaLoreAdamW([hit], **options)
    apply(optimizer, hit, [poisoned, *grads[:2], poisoned, *grads[2:]])
    assert torch.equal(hit, clean)
    assert "gradient of a [6, 4] matrix is not finite at a refresh; step left out" in caplog.text


def test_a_first_gradient_of_zeros_does_not_freeze_a_meaningless_basis():
    param = parameter((6, 4))
    optimizer = GaLoreAdamW([param], rank=2, lr=0.1, weight_decay=0.5)
    start = param.detach().clone()
    apply(optimizer, param, [torch.zeros(6, 4, dtype=torch.float64)])
    torch.testing.assert_close(param.detach(), start * 0.95)
    assert "basis_right" not in optimizer.state[param]
    apply(optimizer, param, gradients((6, 4), 1))
    assert optimizer.state[param]["basis_right"].shape == (4, 2)


def test_lr_zero_changes_nothing():
    param = parameter((6, 4))
    start = param.detach().clone()
    apply(GaLoreAdamW([param], lr=0.0, rank=2, weight_decay=0.5), param, gradients((6, 4), 3))
    assert torch.equal(param, start)


def test_a_group_may_override_options():
    first, second = parameter((8, 6)), parameter((8, 6))
    optimizer = GaLoreAdamW([{"params": [first]}, {"params": [second], "rank": 2, "proj_type": "left"}], rank=4)
    for param in (first, second):
        param.grad = gradients((8, 6), 1)[0]
    optimizer.step()
    assert optimizer.state[first]["exp_avg"].shape == (8, 4)
    assert optimizer.state[second]["exp_avg"].shape == (2, 6)


def test_takes_named_parameters_and_transposed_gradients():
    layer = torch.nn.Linear(6, 8)
    optimizer = GaLoreAdamW(layer.named_parameters(), rank=2)
    layer.weight.grad = torch.randn(6, 8).T
    layer.bias.grad = torch.randn(8)
    twin = copy.deepcopy(layer)
    twin_optimizer = GaLoreAdamW(twin.parameters(), rank=2)
    twin.weight.grad, twin.bias.grad = layer.weight.grad.contiguous(), layer.bias.grad
    optimizer.step()
    twin_optimizer.step()
    torch.testing.assert_close(layer.weight, twin.weight)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]


def test_survives_deepcopy_and_goes_on_equally():
    param = parameter((8, 6))
    optimizer = GaLoreAdamW([param], rank=2)
    apply(optimizer, param, gradients((8, 6), 2))
    twin = copy.deepcopy(optimizer)
    twin_param = twin.param_groups[0]["params"][0]
    apply(optimizer, param, gradients((8, 6), 2, seed=9))
    apply(twin, twin_param, gradients((8, 6), 2, seed=9))
    assert torch.equal(twin_param, param)


def test_keeps_no_state_for_parameters_without_gradient():
    param = parameter((8, 6))
    optimizer = GaLoreAdamW([param], rank=2)
    optimizer.step()
    assert not optimizer.state


def test_runs_a_closure_with_gradients():
    param = parameter((8, 6))
    optimizer = GaLoreAdamW([param], rank=2, lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = param.square().sum()
        loss.backward()
        return loss.item()

    first = optimizer.step(closure)
    assert optimizer.step(closure) < first


def test_a_stale_backward_after_a_step_is_noticed():
    param = parameter((8, 6))
    loss = param.square().sum()
    param.grad = torch.ones_like(param)
    GaLoreAdamW([param], rank=2).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("refresh", ["exact", "subspace"])
def test_finds_the_least_squares_answer(refresh):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 12, generator=generator)
    target = inputs @ torch.randn(12, 16, generator=generator)
    layer = torch.nn.Linear(12, 16, bias=False)
    torch.nn.init.zeros_(layer.weight)
    optimizer = GaLoreAdamW(layer.parameters(), lr=0.05, scale=1.0, rank=4, update_proj_gap=10, refresh=refresh)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = (layer(inputs) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]


def test_refuses_sparse_gradients():
    table = torch.nn.Embedding(8, 4, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="cannot take sparse gradients"):
        GaLoreAdamW(table.parameters(), rank=2).step()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "lr must be >= 0, got -1.0"),
        ({"eps": -1e-8}, "eps must be >= 0, got -1e-08"),
        ({"betas": (1.0, 0.9)}, r"beta1 must be in \[0, 1\), got 1.0"),
        ({"betas": (0.9, 1.0)}, r"beta2 must be in \[0, 1\), got 1.0"),
        ({"weight_decay": -0.1}, "weight_decay must be >= 0, got -0.1"),
        ({"rank": 0}, "rank must be > 0, got 0"),
        ({"rank": 2.5}, "rank must be an integer >= 1, got 2.5"),
        ({"update_proj_gap": 0}, "update_proj_gap must be > 0, got 0"),
        ({"scale": 0.0}, "scale must be > 0, got 0.0"),
        ({"proj_type": "up"}, "proj_type must be one of std, reverse_std, right, left, full, got up"),
        ({"refresh": "random"}, "refresh must be one of subspace, exact, got random"),
        ({"first_basis": "zero"}, "first_basis must be one of auto, exact, random, got zero"),
        ({"moments": "turn"}, "moments must be one of align, rotate, reset, keep, got turn"),
        ({"products": "float16"}, "products must be one of auto, float32, bfloat16, got float16"),
        ({"cos_threshold": 1.0}, r"cos_threshold must be in \[0, 1\), got 1.0"),
        ({"gap_growth": 1.0}, "gap_growth must be > 1, got 1.0"),
        ({"gap_window": 0}, "gap_window must be an integer >= 1, got 0"),
    ],
)
def test_refuses_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        GaLoreAdamW([parameter((4, 4))], **options)


def run(optimizer, params, num_steps, start=0):
    """Step with gradients of 12 slowly turning directions; return at which steps each parameter got a new basis."""
    renewed = [[] for _ in params]
    for step in range(start, start + num_steps):
        before = [optimizer.state[p].get("basis_right") for p in params]
        for number, param in enumerate(params):
            param.grad = low_rank_plus_noise(*param.shape, 4, 0.3, seed=number) + low_rank_plus_noise(
                *param.shape, 4, 0.3, seed=100 + step
            )
        optimizer.step()
        for number, param in enumerate(params):
            if optimizer.state[param]["basis_right"] is not before[number]:
                renewed[number].append(step)
    return renewed


def test_refreshes_are_spread_over_the_gap():
    params = [parameter((8, 6), seed) for seed in range(5)]
    renewed = run(GaLoreAdamW(params, rank=2, update_proj_gap=10), params, 30)
    assert renewed == [[0, 2, 12, 22], [0, 4, 14, 24], [0, 6, 16, 26], [0, 8, 18, 28], [0, 10, 20]]


def test_refreshes_come_together_where_they_are_not_staggered():
    params = [parameter((8, 6), seed) for seed in range(3)]
    renewed = run(GaLoreAdamW(params, rank=2, update_proj_gap=4, stagger=False), params, 10)
    assert renewed == [[0, 4, 8]] * 3


def test_random_first_bases_become_those_of_gradients_one_by_one():
    params = [parameter((8, 6), seed) for seed in range(4)]
    optimizer = GaLoreAdamW(params, rank=2, update_proj_gap=40, first_basis="random")
    assert run(optimizer, params, 50) == [[0, 5, 25], [0, 10, 30], [0, 15, 35], [0, 20, 40]]


LARGE = (256, 256)


def large_gradients(num_steps):
    """Return gradients [256, 256] of slowly falling singular values, and some noise of each step's own."""
    left, right = (torch.linalg.qr(grad)[0] for grad in gradients(LARGE, 2, dtype=torch.float32))
    grad = (left * torch.arange(1, 257) ** -0.7) @ right.T
    return [grad + 1e-3 * noise for noise in gradients(LARGE, num_steps, seed=3, dtype=torch.float32)]


def test_first_bases_of_large_matrices_are_found_within_twenty_steps_and_nearly_the_best_at_forty():
    param, grads = parameter(LARGE, dtype=torch.float32), large_gradients(41)
    optimizer = GaLoreAdamW([param], rank=32)
    held = []
    for grad in grads:
        apply(optimizer, param, [grad])
        held.append(float((grad @ optimizer.state[param]["basis_right"]).square().sum()))
    best = float(torch.linalg.svdvals(grads[0])[:32].square().sum())
    assert held[0] < 0.3 * best  # rank 32 of 256 directions
    assert held[20] > 0.98 * best
    assert held[40] > 0.99 * best


@pytest.mark.parametrize(
    "options",
    [{"first_basis": "exact"}, {"stagger": False}, {"refresh": "exact"}],
    ids=lambda options: next(iter(options)),
)
def test_first_bases_of_large_matrices_are_exact_where_that_is_asked_for_or_the_run_stalls_anyway(options):
    param, grads = parameter(LARGE, dtype=torch.float32), large_gradients(1)
    optimizer = GaLoreAdamW([param], rank=32, **options)
    apply(optimizer, param, grads)
    best = torch.linalg.svdvals(grads[0]).square()
    assert optimizer.metrics()["captured_energy"] == pytest.approx(float(best[:32].sum() / best.sum()), rel=1e-3)


@pytest.mark.parametrize("options", [{}, {"moments": "rotate", "proj_type": "full"}], ids=["default", "full"])
def test_a_run_killed_while_its_first_bases_are_found_resumes_bit_for_bit(options):
    grads, straight, halts = large_gradients(43), parameter(LARGE, dtype=torch.float32), {}
    optimizer = GaLoreAdamW([straight], rank=8, **options)
    for step, grad in enumerate(grads, start=1):
        apply(optimizer, straight, [grad])
        if step in (1, 20, 21, 39):  # found before step 21, refreshed before step 41
            halts[step] = straight.detach().clone(), reload(optimizer.state_dict())
    for step, (weights, saved) in halts.items():
        resumed = torch.nn.Parameter(weights)
        second = GaLoreAdamW([resumed], rank=8, **options)
        second.load_state_dict(saved)
        apply(second, resumed, grads[step:])
        assert torch.equal(resumed, straight)


def test_a_first_gradient_that_is_not_finite_leaves_a_large_matrix_as_it_is():
    param, grads = parameter(LARGE, dtype=torch.float32), large_gradients(1)
    start, grads[0][3, 5] = param.detach().clone(), math.nan
    optimizer = GaLoreAdamW([param], rank=8)
    apply(optimizer, param, grads)
    assert torch.equal(param, start)
    assert not optimizer.state[param]


@pytest.mark.parametrize("size", [1e-30, 1e25])
def test_gradients_whose_squares_leave_the_range_of_float32_have_bases_too(size):
    param = parameter((8, 6), dtype=torch.float32)
    grad = size * low_rank_plus_noise(8, 6, rank=2, noise=0.0).float()
    optimizer = GaLoreAdamW([param], rank=2)
    apply(optimizer, param, [grad])
    assert optimizer.metrics()["captured_energy"] == pytest.approx(1.0, abs=1e-3)


def test_the_captured_energy_is_that_of_the_last_refresh():
    param = parameter((9, 6))
    optimizer = GaLoreAdamW([param], rank=2, update_proj_gap=3)
    assert optimizer.metrics() == {}
    grads = gradients((9, 6), 3)
    apply(optimizer, param, grads)
    values = torch.linalg.svdvals(grads[0]).square()
    assert optimizer.metrics() == {"captured_energy": pytest.approx(float(values[:2].sum() / values.sum()))}


def test_an_adaptive_gap_doubles_where_the_leading_direction_stays():
    param = parameter((9, 6))
    options = {"rank": 2, "update_proj_gap": 2, "adaptive_gap": True, "gap_window": 2}
    optimizer = GaLoreAdamW([param], **options)
    steady = low_rank_plus_noise(9, 6, 1, 0.0)
    apply(optimizer, param, [steady] * 7)
    assert optimizer.metrics()["projection_gap"] == 4  # refreshed at steps 0, 2 and 4: two cosines
    apply(optimizer, param, [steady] * 2)
    assert optimizer.metrics()["projection_gap"] == 8  # and at step 8
    turning = [
        torch.roll(torch.eye(9, 6, dtype=torch.float64), step, 1) * torch.eye(6, dtype=torch.float64)[step % 6]
        for step in range(9)
    ]
    other = parameter((9, 6))
    optimizer = GaLoreAdamW([other], **options)
    apply(optimizer, other, turning)
    assert optimizer.metrics()["projection_gap"] == 2


@pytest.mark.parametrize(
    "options",
    [
        {"proj_type": "full"},
        {"proj_type": "left"},
        {"moments": "rotate"},
        {"moments": "reset"},
        {"moments": "keep", "refresh": "exact"},
        {"first_basis": "random"},
        {"adaptive_gap": True, "gap_window": 1},
        {"products": "bfloat16"},
    ],
)
def test_resumes_bit_for_bit_whatever_the_options(options):
    options |= {"lr": 1e-2, "rank": 3, "update_proj_gap": 3, "weight_decay": 0.1}
    shapes = [(10, 6), (6, 10)]
    grads = [gradients(shape, 14, dtype=torch.float32) for shape in shapes]

    def make():
        params = [parameter(shape, dtype=torch.float32) for shape in shapes]
        return params, GaLoreAdamW(params, **options)

    def go(params, optimizer, steps):
        for step in steps:
            for param, own in zip(params, grads, strict=True):
                param.grad = own[step].clone()
            optimizer.step()

    straight, optimizer = make()
    go(straight, optimizer, range(14))
    halfway, first = make()
    go(halfway, first, range(7))
    resumed, second = make()
    second.load_state_dict(reload(first.state_dict()))
    with torch.no_grad():
        for param, value in zip(resumed, halfway, strict=True):
            param.copy_(value)
    go(resumed, second, range(7, 14))
    assert all(torch.equal(a, b) for a, b in zip(resumed, straight, strict=True))


def test_both_sides_keep_two_factors_and_small_moments():
    param = parameter((20, 12), dtype=torch.float32)
    optimizer = GaLoreAdamW([param], rank=3, proj_type="full")
    apply(optimizer, param, gradients((20, 12), 2, dtype=torch.float32))
    shapes = {key: tuple(value.shape) for key, value in optimizer.state[param].items() if key not in SMALL}
    assert shapes == {"basis_left": (20, 3), "basis_right": (12, 3), "exp_avg": (3, 3), "exp_avg_sq": (3, 3)}


def test_adapters_of_lora_take_plain_adamw():
    factors = [parameter((8, 64)), parameter((64, 8))]
    group = {"params": factors, "param_names": ["q.lora_A.weight", "q.lora_B.weight"]}
    assert GaLoreAdamW([group], rank=16).param_groups[0]["sides"] == [None, None]


def test_refuses_a_shard_of_a_matrix():
    with distributed_group():
        mesh = init_device_mesh("cpu", (1,))
        shard = torch.nn.Parameter(distribute_tensor(torch.zeros(8, 6), mesh, [Shard(0)]))
        with pytest.raises(ValueError, match=r"^GaLoreAdamW needs whole matrices and got a DTensor sharded by FSDP"):
            GaLoreAdamW([shard], rank=2)
    partitioned = parameter((0,))
    partitioned.ds_id = 3
    with pytest.raises(
        ValueError, match="got a parameter partitioned by ZeRO-3: each rank would find directions, means and norms"
    ):
        GaLoreAdamW([partitioned], rank=2)


@contextmanager
def distributed_group():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()
