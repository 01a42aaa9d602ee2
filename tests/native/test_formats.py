"""Narrow weights, gradients and moments: bit for bit against their definition in NumPy, and what they are for."""

import copy
import io

import numpy as np
import pytest
import torch
from tests.reference.native_formats import NarrowAdamW

from swift_native import SGD, AdamW, Lion, _native, usable_isas
from swift_native._state import as_float

BF16, F32, F16 = torch.bfloat16, torch.float32, torch.float16
MOMENTS = ["fp32", "bf16", "8bit"]
WEIGHTS = [(F32, "nearest"), (BF16, "nearest"), (BF16, "stochastic"), (BF16, "kahan")]


def random(size, seed, dtype=F32, scale=1.0):
    return (scale * torch.randn(size, generator=torch.Generator().manual_seed(seed))).to(dtype)


def wide_grad(size, seed, dtype):
    """Return a gradient whose elements lie over eight decades."""
    powers = torch.randint(-6, 2, (size,), generator=torch.Generator().manual_seed(seed + 50)).float()
    return (random(size, seed) * 10.0**powers).to(dtype)


def with_grad(param, grad):
    param.grad_dtype = grad.dtype
    param.grad = grad


@pytest.mark.parametrize("isa_name", usable_isas())
@pytest.mark.parametrize("moments", MOMENTS)
@pytest.mark.parametrize(
    ("dtype", "rounding", "grad_dtype"), [(*kind, BF16) for kind in WEIGHTS] + [(F32, "nearest", F32)]
)
def test_steps_are_those_of_the_definition_bit_for_bit(isa, isa_name, moments, dtype, rounding, grad_dtype):
    isa(isa_name)
    size, first = 1000, 37
    before = torch.nn.Parameter(torch.zeros(first))
    param = torch.nn.Parameter(random(size, 1, dtype))
    optimizer = AdamW([before, param], lr=0.01, moments=moments, rounding=rounding, seed=5)
    start = param.detach().float().numpy().copy()
    named = None if dtype is F32 else rounding
    expected = NarrowAdamW(start, moments, named, lr=0.01, seed=5, first=first)
    for step in range(6):
        grad = wide_grad(size, step, grad_dtype)
        grad[300:450] = 0  # a block of nothing, and two in part
        grad[700:710] *= 1e-12  # more octaves than codes reach
        grad[710:720] = 1e-30  # with squares that are 0
        with_grad(param, grad)
        optimizer.step()
        expected.step(grad.float().numpy())

    state = optimizer.state[param]
    assert np.array_equal(as_float(state, "exp_avg").numpy(), expected.exp_avg)
    assert np.array_equal(as_float(state, "exp_avg_sq").numpy(), expected.exp_avg_sq)
    assert np.array_equal(param.detach().float().numpy(), expected.param)


@pytest.mark.parametrize("moments", MOMENTS)
@pytest.mark.parametrize("grad_dtype", [BF16, F16])
def test_a_narrow_gradient_counts_as_its_value_in_float32(grad_dtype, moments):
    one, other = (torch.nn.Parameter(random(700, 1)) for _ in range(2))
    optimizers = AdamW([one], moments=moments), AdamW([other], moments=moments)
    for step in range(3):
        grad = wide_grad(700, step, grad_dtype)
        grad[:3] = torch.tensor([6e-8, -3e-6, 0.0]).to(grad_dtype)  # float16 has only denormals there
        with_grad(one, grad)
        with_grad(other, grad.float())
        for optimizer in optimizers:
            optimizer.step()
    assert torch.equal(one, other)


@pytest.mark.parametrize("moments", MOMENTS)
@pytest.mark.parametrize(("dtype", "rounding"), WEIGHTS)
@pytest.mark.parametrize(
    ("cls", "extra"), [(AdamW, {}), (AdamW, {"amsgrad": True}), (Lion, {}), (SGD, {}), (SGD, {"momentum": 0.9})]
)
def test_a_resumed_run_is_equal_bit_for_bit_in_every_format(cls, extra, dtype, rounding, moments):
    options = {"moments": moments, "rounding": rounding, "seed": 3, "lr": 0.01, **extra}

    def train(params, optimizer, seed):
        for step in range(3):
            for index, param in enumerate(params):
                param.grad = random(param.shape, seed + 7 * step + index, param.dtype)
            optimizer.step()

    params = [torch.nn.Parameter(random((5, 70), 1, dtype)), torch.nn.Parameter(random(11, 2, dtype))]
    optimizer = cls(params, **options)
    train(params, optimizer, 10)
    file = io.BytesIO()
    torch.save(([param.detach() for param in params], optimizer.state_dict()), file)
    train(params, optimizer, 20)

    file.seek(0)
    weights, state = torch.load(file, weights_only=True)
    resumed = [torch.nn.Parameter(weight) for weight in weights]
    again = cls(resumed)
    again.load_state_dict(state)
    train(resumed, again, 20)
    assert all(torch.equal(one, other) for one, other in zip(params, resumed, strict=True))


@pytest.mark.parametrize("moments", MOMENTS)
@pytest.mark.parametrize(("dtype", "rounding"), WEIGHTS)
def test_threads_change_nothing_in_any_format(threads, dtype, rounding, moments):
    results = []
    for num_threads in (1, 3):
        threads(num_threads)
        param = torch.nn.Parameter(random(200_000, 1, dtype))
        optimizer = AdamW([param], moments=moments, rounding=rounding)
        for step in range(2):
            param.grad = random(param.shape, step, dtype)
            optimizer.step()
        results.append(param.detach())
    assert torch.equal(*results)


@pytest.mark.parametrize("moments", ["fp32", "bf16"])
@pytest.mark.parametrize(("dtype", "rounding"), WEIGHTS)
def test_splitting_a_parameter_changes_nothing_but_with_blocks(dtype, rounding, moments):
    results = []
    for splits in ((3000,), (1, 999, 2000)):
        params = [torch.nn.Parameter(part.clone()) for part in random(3000, 1, dtype).split(splits)]
        optimizer = AdamW(params, moments=moments, rounding=rounding)
        for step in range(3):
            for param, grad in zip(params, random(3000, step, dtype).split(splits), strict=True):
                param.grad = grad.clone()
            optimizer.step()
        results.append(torch.cat([param.detach() for param in params]))
    assert torch.equal(*results)


def test_seeds_differ_and_are_kept_in_the_state():
    results = []
    for seed in (1, 2):
        param = torch.nn.Parameter(random(500, 1, BF16))
        param.grad = random(500, 2, BF16)
        optimizer = AdamW([param], rounding="stochastic", seed=seed, lr=1e-4)
        optimizer.step()
        assert optimizer.state_dict()["param_groups"][0]["seed"] == seed
        results.append(param.detach())
    assert not torch.equal(*results)


def test_stochastic_rounding_is_right_on_average_for_each_weight_and_over_steps():
    size = 1 << 20
    param = torch.nn.Parameter(torch.ones(size, dtype=BF16))
    step = 2.0**-10  # an eighth of what separates 1 from the bfloat16 below and a quarter of 2^-8
    optimizer = SGD([param], lr=step, rounding="stochastic")
    param.grad = torch.ones(size, dtype=BF16)
    optimizer.step()
    moved = (1 - param.detach().float()).double()
    assert set(moved.unique().tolist()) == {0.0, 2.0**-8}
    share = step / 2.0**-8
    assert abs(moved.mean().item() - step) < 4 * 2.0**-8 * (share * (1 - share) / size) ** 0.5


def test_stochastic_weights_arrive_where_nearest_ones_stay():
    ends = {}
    for rounding in ("nearest", "stochastic", "kahan"):
        param = torch.nn.Parameter(torch.ones(4096, dtype=BF16))
        optimizer = SGD([param], lr=1e-4, rounding=rounding)
        for _ in range(1000):
            param.grad = torch.ones(4096, dtype=BF16)
            optimizer.step()
        ends[rounding] = param.detach().float()
    assert torch.all(ends["nearest"] == 1.0)
    assert ends["stochastic"].mean().item() == pytest.approx(0.9, abs=2e-3)
    assert torch.all((ends["kahan"] - 0.9).abs() < 4e-3)


@pytest.mark.parametrize("moments", ["bf16", "8bit"])
def test_a_second_moment_falls_when_gradients_end(moments):
    """Rounded to nearest it would stay: 0.999 v is nearer to v than to the next narrow number."""
    param = torch.nn.Parameter(torch.zeros(4096))
    optimizer = AdamW([param], moments=moments)
    for step in range(1000):
        param.grad = torch.full((4096,), 0.01 if step == 0 else 0.0)
        optimizer.step()
        if step == 0:
            before = as_float(optimizer.state[param], "exp_avg_sq").mean().item()
    after = as_float(optimizer.state[param], "exp_avg_sq").mean().item()
    assert after / before == pytest.approx(0.999**999, rel=0.05)


@pytest.mark.parametrize("moments", ["bf16", "8bit"])
def test_random_words_of_one_element_are_independent(moments):
    size = 200_000
    param = torch.nn.Parameter(torch.full((size,), 1.0 + 2.0**-9).to(BF16))
    optimizer = AdamW([param], moments=moments, rounding="stochastic", lr=2.0**-9, weight_decay=0.0)
    param.grad = torch.full((size,), 1.01, dtype=BF16)
    optimizer.step()
    state = optimizer.state[param]
    columns = [param.detach().float(), as_float(state, "exp_avg")]
    columns += [as_float(state, "exp_avg_sq")] if moments == "bf16" else []
    table = torch.corrcoef(torch.stack(columns).double())
    off = table[~torch.eye(len(columns), dtype=torch.bool)]
    assert off.isfinite().all()
    assert off.abs().max() < 0.02


@pytest.mark.parametrize(("decades", "bound"), [(0, 0.013), (5, 0.02), (10, 0.04)])
def test_8bit_moments_move_weights_as_float64_would(decades, bound):
    """The bounds are below what the linear codes of bitsandbytes were measured to be off by: 0.013, 0.028, 0.14."""
    rows, columns = (torch.linspace(-decades / 2, 0, size) for size in (64, 512))
    generator = torch.Generator().manual_seed(1)
    mean, scale = torch.randn(64, 512, generator=generator), 10 ** (rows[:, None] + columns)
    narrow, exact = torch.nn.Parameter(torch.zeros(64, 512)), torch.nn.Parameter(torch.zeros(64, 512).double())
    optimizers = AdamW([narrow], moments="8bit", eps=1e-12), torch.optim.AdamW([exact], eps=1e-12)
    for _ in range(100):
        narrow.grad = scale * (torch.randn(64, 512, generator=generator) + 0.5 * mean)
        exact.grad = narrow.grad.double()
        for optimizer in optimizers:
            optimizer.step()
    assert ((narrow - exact).norm() / exact.norm()).item() < bound


def test_codes_whose_scales_are_of_other_blocks_are_refused():
    param = torch.nn.Parameter(torch.ones(600))
    param.grad = torch.ones(600)
    optimizer = AdamW([param], moments="8bit")
    optimizer.step()
    saved = optimizer.state_dict()
    saved["state"][0]["exp_avg_sq_scale"] = torch.zeros(3, dtype=torch.uint8)
    resumed = AdamW([param], moments="8bit")
    resumed.load_state_dict(saved)
    with pytest.raises(ValueError, match=r"exp_avg has codes of 8 bits whose scales are not those of blocks of 128"):
        resumed.step()


def test_lion_reads_the_codes_of_adamw_as_what_they_are():
    param = torch.nn.Parameter(torch.zeros(300))
    param.grad = random(300, 1)
    source = AdamW([param], moments="8bit")
    source.step()
    before = as_float(source.state[param], "exp_avg")
    target = Lion([param], lr=0.0, moments="8bit", betas=(1 - 1e-12, 1 - 1e-12))
    groups = target.state_dict()["param_groups"]
    target.load_state_dict({"state": {0: dict(source.state[param])}, "param_groups": groups})
    target.step()
    assert (as_float(target.state[param], "exp_avg") - before).abs().max() < before.abs().max() / 8


def test_copies_receive_the_new_weights_in_bfloat16():
    params = [torch.nn.Parameter(random(shape, 1)) for shape in ((300, 5), (7,))]
    copies = {param: torch.zeros_like(param, dtype=BF16) for param in params}
    optimizer = AdamW(params, lr=0.1)
    optimizer.write_copies(copies)
    for step in range(2):
        for param in params:
            param.grad = random(param.shape, step)
        optimizer.step()
        assert all(torch.equal(copies[param], param.detach().to(BF16)) for param in params)


@pytest.mark.parametrize(
    ("param", "target", "message"),
    [
        (
            torch.ones(3, dtype=BF16),
            torch.ones(3, dtype=BF16),
            "only contiguous float32 parameters have copies, got bf",
        ),
        (torch.ones(3), torch.ones(3), r"a copy cannot be written: it is float32 of shape \(3,\); make it contiguous"),
        (
            torch.ones(3),
            torch.ones(4, dtype=BF16),
            r"it is bfloat16 of shape \(4,\); make it contiguous bfloat16 of \(3",
        ),
    ],
)
def test_a_copy_that_does_not_fit_is_refused(param, target, message):
    param = torch.nn.Parameter(param)
    with pytest.raises(ValueError, match=message):
        AdamW([param]).write_copies({param: target})


def test_a_copy_for_a_stranger_is_refused():
    with pytest.raises(ValueError, match="a copy is for a parameter that this optimizer does not have"):
        AdamW([torch.nn.Parameter(torch.ones(1))]).write_copies({torch.ones(1): torch.ones(1, dtype=BF16)})


@pytest.mark.parametrize("moments", MOMENTS)
def test_gradients_are_unscaled_in_the_same_pass(moments):
    one, other = (torch.nn.Parameter(random(300, 1)) for _ in range(2))
    scaled, plain = AdamW([one], moments=moments), AdamW([other], moments=moments)
    scaled.grad_scale = torch.tensor(1024.0)
    one.grad, other.grad = 1024 * random(300, 2), random(300, 2)
    scaled.step()
    plain.step()
    assert torch.equal(one, other)


def test_a_gradient_scaler_unscales_through_the_step_and_skips_what_is_infinite():
    param = torch.nn.Parameter(torch.ones(3))
    optimizer = AdamW([param], lr=0.1, weight_decay=0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    scaler.scale((param * torch.tensor([1.0, 2.0, -3.0])).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    torch.testing.assert_close(param.detach(), torch.tensor([0.9, 0.9, 1.1]))
    torch.testing.assert_close(optimizer.state[param]["exp_avg"], torch.tensor([0.1, 0.2, -0.3]))
    param.grad = torch.tensor([1.0, float("inf"), 1.0])
    scaler.step(optimizer)
    scaler.update()
    torch.testing.assert_close(param.detach(), torch.tensor([0.9, 0.9, 1.1]))
    assert scaler.get_scale() == 128.0


def test_clipping_in_the_pass_is_clipping_before_it():
    params, others = ([torch.nn.Parameter(random(size, 1)) for size in (1000, 30, 70_000)] for _ in range(2))
    fused = AdamW(params, lr=0.1, max_grad_norm=0.5)
    apart = AdamW(others, lr=0.1)
    for step in range(3):
        for index, (param, other) in enumerate(zip(params, others, strict=True)):
            param.grad = random(param.shape, step + index)
            other.grad = param.grad.clone()
        before = torch.linalg.vector_norm(torch.cat([other.grad for other in others]).double()).item()
        torch.nn.utils.clip_grad_norm_(others, 0.5)
        fused.step()
        apart.step()
        assert fused.grad_norm == pytest.approx(before, rel=1e-9)
    for param, other in zip(params, others, strict=True):
        torch.testing.assert_close(param, other, rtol=1e-5, atol=1e-6)
    assert apart.grad_norm is None


def test_one_norm_for_all_groups():
    params = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    groups = [{"params": [param], "max_grad_norm": limit} for param, limit in zip(params, (0.0, 1.0), strict=True)]
    optimizer = AdamW(groups)
    with pytest.raises(ValueError, match=r"max_grad_norm must be the same in all groups, got 0\.0, 1\.0"):
        optimizer.step()


@pytest.mark.parametrize("source", MOMENTS)
@pytest.mark.parametrize("target", MOMENTS)
def test_moments_are_converted_when_the_format_is_changed_in_mid_run(source, target):
    param = torch.nn.Parameter(random((40, 30), 1))
    optimizer = AdamW([param], moments=source)
    param.grad = random((40, 30), 2)
    optimizer.step()
    before = {name: as_float(optimizer.state[param], name) for name in ("exp_avg", "exp_avg_sq")}
    optimizer.param_groups[0]["moments"] = target
    optimizer.param_groups[0]["betas"] = (1 - 1e-12, 1 - 1e-12)
    param.grad = torch.zeros(40, 30)
    optimizer.step()
    bound = 2 * {"fp32": 1e-5, "bf16": 2.0**-8, "8bit": 1 / 8}[target]
    for name, value in before.items():
        after = as_float(optimizer.state[param], name)
        large = value.abs() > value.abs().max() * 1e-3
        assert ((after - value).abs()[large] <= bound * value.abs()[large]).all()


@pytest.mark.parametrize("layout", ["transposed", "sliced"])
@pytest.mark.parametrize("moments", MOMENTS)
def test_narrow_states_follow_a_parameter_that_does_not_lie_in_order(layout, moments):
    make = {"transposed": lambda v: v.t().contiguous().t(), "sliced": lambda v: torch.zeros(20, 60)[:, ::2].copy_(v)}
    plain = torch.nn.Parameter(random((20, 30), 1))
    odd = torch.nn.Parameter(make[layout](plain.detach()))
    for param in (plain, odd):
        optimizer = AdamW([param], lr=0.1, moments=moments)
        for step in range(3):
            param.grad = random((20, 30), step)
            optimizer.step()
    bound = {"fp32": 0.0, "bf16": 0.01, "8bit": 0.2}[moments]  # random bits go by the place in memory
    assert (plain - odd).abs().max() <= bound


def test_an_8bit_state_of_another_order_is_decoded_before_it_is_rearranged():
    param = torch.nn.Parameter(random((20, 30), 1))
    optimizer = AdamW([param], moments="8bit")
    param.grad = random((20, 30), 2)
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    turned = torch.nn.Parameter(param.detach().t().contiguous().t())
    resumed = AdamW([turned], moments="8bit", lr=0.0)
    resumed.load_state_dict(saved)
    resumed.param_groups[0].update(lr=0.0, betas=(1 - 1e-12, 1 - 1e-12))
    turned.grad = torch.zeros(20, 30)
    before = as_float(optimizer.state[param], "exp_avg")
    resumed.step()
    after = as_float(resumed.state[turned], "exp_avg")
    assert after.stride() == turned.stride()
    large = before.abs() > before.abs().max() * 1e-3
    assert ((after - before).abs()[large] <= before.abs()[large] / 8).all()


@pytest.mark.parametrize("moments", ["bf16", "8bit"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_gradient_spoils_its_element_and_later_at_most_its_block(moments, bad):
    param = torch.nn.Parameter(torch.ones(1024))
    optimizer = AdamW([param], moments=moments)
    for _ in range(2):
        param.grad = torch.ones(1024)
        if not optimizer.state:
            param.grad[300] = bad
        optimizer.step()
    spoiled = param.isnan()
    assert spoiled[300]
    assert spoiled.sum() == (1 if moments == "bf16" else 128)
    assert not spoiled[:256].any()
    assert not spoiled[384:].any()


def test_the_states_have_the_sizes_that_the_page_names():
    for moments, size in (("fp32", 8.0), ("bf16", 4.0), ("8bit", 2 + 3 / 128)):
        param = torch.nn.Parameter(torch.zeros(256 * 64))
        param.grad = torch.zeros_like(param)
        optimizer = AdamW([param], moments=moments)
        optimizer.step()
        held = sum(value.nbytes for name, value in optimizer.state[param].items() if name != "step")
        assert held / param.numel() == size
    assert _native.BLOCK8 == 128


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"moments": "int4"}, "moments must be one of fp32, bf16, 8bit, got 'int4'"),
        ({"rounding": "up"}, "rounding must be one of nearest, stochastic, kahan, got 'up'"),
        ({"seed": -1}, r"seed must be an integer in \[0, 2\^53\), got -1"),
        ({"seed": 0.5}, r"seed must be an integer in \[0, 2\^53\), got 0.5"),
        ({"max_grad_norm": -1.0}, "max_grad_norm must be >= 0, got -1.0"),
    ],
)
@pytest.mark.parametrize("cls", [AdamW, Lion, SGD])
def test_a_wrong_format_is_an_error_with_the_value(cls, option, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        cls([torch.nn.Parameter(torch.ones(1))], **option)
