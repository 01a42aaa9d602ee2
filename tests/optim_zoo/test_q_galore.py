import copy

import pytest
import torch
from tests.reference.trajectory import apply, gradients, parameter, reload

from swift_optim_zoo import _steppers
from swift_optim_zoo._four_bit import pack, round_to_eight_bits_, unpack
from swift_optim_zoo.adamw8bit import AdamW8bit
from swift_optim_zoo.galore_adamw import GaLoreAdamW
from swift_optim_zoo.galore_adamw8bit import GaLoreAdamW8bit
from swift_optim_zoo.q_galore import QGaLore


@pytest.fixture(params=["native", "plain"])
def codes(request, monkeypatch):
    """Return whose codes new moments have: those of swift-native, or of plain torch as where that is missing."""
    if request.param == "plain":
        monkeypatch.setattr(_steppers, "find_spec", lambda name: None)
    return request.param


@pytest.mark.parametrize("shape", [(16, 32), (7, 3), (300, 3), (1, 1)])
def test_four_bits_are_within_half_a_step_and_two_go_into_a_byte(shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    packed, ranges = pack(values)
    assert packed.numel() == (values.numel() + 1) // 2
    assert packed.dtype is torch.uint8
    back = unpack(packed, ranges, shape)
    step = (values.max() - values.min()) / 15
    assert (back - values).abs().max() <= step / 2 + 1e-6


def test_eight_bits_by_chance_lie_on_a_grid_and_are_right_in_the_mean():
    weights = torch.randn(256, generator=torch.Generator().manual_seed(0))
    mean = torch.zeros(256)
    for seed in range(300):
        rounded = weights.clone()
        round_to_eight_bits_(rounded, seed)
        codes = (rounded - weights.min()) / ((weights.max() - weights.min()) / 255)
        torch.testing.assert_close(codes, codes.round(), atol=1e-2, rtol=0)
        mean += rounded / 300
    step = float(weights.max() - weights.min()) / 255
    assert (mean - weights).abs().max() < 0.15 * step


@pytest.mark.parametrize(("make", "bound"), [(GaLoreAdamW8bit, 0.06), (QGaLore, 0.25)])
@pytest.mark.usefixtures("codes")
def test_stays_near_galore_with_wide_states(make, bound):
    shape, options = (600, 40), {"rank": 8, "lr": 1e-2, "update_proj_gap": 4, "scale": 1.0, "weight_decay": 0.1}
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(600, 8, generator=generator) @ torch.randn(8, 40, generator=generator)
    grads = [common + 0.1 * torch.randn(shape, generator=generator) for _ in range(10)]
    wide, narrow = parameter(shape, dtype=torch.float32), parameter(shape, dtype=torch.float32)
    start = wide.detach().clone()
    apply(GaLoreAdamW([wide], **options), wide, grads)
    apply(make([narrow], **options), narrow, grads)
    error = (narrow - wide).norm() / (wide - start).norm()
    assert 1e-4 < error < bound


SHAPES = {"up": (640, 20), "embed": (80, 60), "bias": (9,)}
"""A matrix that is projected, a large tensor and a small one that are not."""


def make_run(make, weights=None, **options):
    """Return parameters and their optimizer."""
    start = weights or {name: parameter(shape, dtype=torch.float32) for name, shape in SHAPES.items()}
    params = [torch.nn.Parameter(param.detach().clone()) for param in start.values()]
    return params, make([{"params": params, "param_names": list(SHAPES)}], rank=8, lr=1e-2, **options)


def go(params, optimizer, steps):
    for step in steps:
        for place, param in enumerate(params):
            param.grad = gradients(param.shape, 1, seed=17 * step + place, dtype=torch.float32)[0]
        optimizer.step()


@pytest.mark.parametrize("make", [GaLoreAdamW8bit, QGaLore])
@pytest.mark.parametrize("moments", ["align", "rotate", "reset", "keep"])
def test_resumes_bit_for_bit_with_codes(make, moments, codes):
    options = {"update_proj_gap": 3, "moments": moments, "weight_decay": 0.1}
    straight, optimizer = make_run(make, **options)
    go(straight, optimizer, range(10))
    halfway, first = make_run(make, **options)
    go(halfway, first, range(5))
    is_native = codes == "native" and moments in ("align", "keep")
    assert ("exp_avg_codes" in first.state[halfway[0]]) is not is_native
    assert ("exp_avg_codes" in first.state[halfway[1]]) is (codes == "plain")
    resumed, second = make_run(make, dict(zip(SHAPES, halfway, strict=True)), **options)
    second.load_state_dict(reload(first.state_dict()))
    go(resumed, second, range(5, 10))
    assert all(torch.equal(a, b) for a, b in zip(resumed, straight, strict=True))


@pytest.mark.parametrize("make", [GaLoreAdamW8bit, QGaLore])
def test_native_steps_go_on_bit_for_bit_in_a_copy_and_in_the_backward_pass(make):
    straight, optimizer = make_run(make, update_proj_gap=3)
    go(straight, optimizer, range(8))
    _, first = make_run(make, update_proj_gap=3)
    go(first.param_groups[0]["params"], first, range(4))
    twin = copy.deepcopy(first)
    params = twin.param_groups[0]["params"]
    twin.step = lambda: [twin.step_param_alone(param) for param in reversed(params)]
    go(params, twin, range(4, 8))
    assert all(torch.equal(a, b) for a, b in zip(params, straight, strict=True))


def test_native_steps_of_what_is_not_projected_are_those_of_adamw8bit():
    ours, theirs = (parameter((80, 70), dtype=torch.float32) for _ in range(2))
    options, grads = {"lr": 1e-2, "weight_decay": 0.1, "eps": 1e-6}, gradients((80, 70), 6, dtype=torch.float32)
    apply(GaLoreAdamW8bit([{"params": [ours], "param_names": ["embed"]}], rank=8, **options), ours, grads)
    apply(AdamW8bit([theirs], **options), theirs, grads)
    assert torch.equal(ours, theirs)


def test_native_directions_are_nearer_to_those_of_float64_than_plain_ones(monkeypatch):
    options, shape = {"rank": 8, "lr": 1e-2, "scale": 1.0, "refresh": "exact"}, (640, 20)
    grads, start = gradients(shape, 30, dtype=torch.float32), parameter(shape, dtype=torch.float32).detach()
    exact, native, plain = (
        torch.nn.Parameter(start.to(dtype, copy=True)) for dtype in (torch.float64, torch.float32, torch.float32)
    )
    apply(GaLoreAdamW([exact], **options), exact, [grad.double() for grad in grads])
    apply(GaLoreAdamW8bit([native], **options), native, grads)
    monkeypatch.setattr(_steppers, "find_spec", lambda name: None)
    apply(GaLoreAdamW8bit([plain], **options), plain, grads)
    errors = [float((moved - exact).detach().norm() / (exact - start).detach().norm()) for moved in (native, plain)]
    assert 1e-5 < errors[0] < errors[1] < 0.08


def test_a_run_in_the_codes_of_plain_torch_goes_on_in_them_where_native_is_installed(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(_steppers, "find_spec", lambda name: None)
        straight, optimizer = make_run(QGaLore, update_proj_gap=3)
        go(straight, optimizer, range(8))
        halfway, first = make_run(QGaLore, update_proj_gap=3)
        go(halfway, first, range(4))
    resumed, second = make_run(QGaLore, dict(zip(SHAPES, halfway, strict=True)), update_proj_gap=3)
    second.load_state_dict(reload(first.state_dict()))
    go(resumed, second, range(4, 8))
    assert all(torch.equal(a, b) for a, b in zip(resumed, straight, strict=True))


def test_native_codes_are_refused_where_nothing_reads_them(monkeypatch):
    params, optimizer = make_run(GaLoreAdamW8bit)
    go(params, optimizer, range(1))
    monkeypatch.setattr(_steppers, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"have the codes of swift-native, .*: pip install swift-native$"):
        make_run(GaLoreAdamW8bit)[1].load_state_dict(reload(optimizer.state_dict()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types_of_weights_resume_bit_for_bit(dtype):
    grads = gradients((640, 20), 6, dtype=dtype)
    straight, halfway = parameter((640, 20), dtype=dtype), parameter((640, 20), dtype=dtype)
    apply(GaLoreAdamW8bit([straight], rank=8), straight, grads)
    first = GaLoreAdamW8bit([halfway], rank=8)
    apply(first, halfway, grads[:3])
    assert ("exp_avg_codes" in first.state[halfway]) is (dtype is torch.float64)  # narrow ones are widened for a step
    resumed = torch.nn.Parameter(halfway.detach().clone())
    second = GaLoreAdamW8bit([resumed], rank=8)
    second.load_state_dict(reload(first.state_dict()))
    apply(second, resumed, grads[3:])
    assert torch.equal(resumed, straight)


def test_the_log_says_who_takes_the_steps(codes, caplog):
    caplog.set_level("INFO")
    make_run(QGaLore)
    assert caplog.messages == [f"q_galore: {'swift-native' if codes == 'native' else 'plain torch'} takes the steps"]


def test_states_of_q_galore_have_a_byte_for_a_moment_and_half_of_one_for_the_projection(codes):
    param = parameter((640, 32), dtype=torch.float32)
    optimizer = QGaLore([param], rank=8)
    apply(optimizer, param, gradients((640, 32), 1, dtype=torch.float32))
    sizes = {k: v.untyped_storage().nbytes() for k, v in optimizer.state[param].items()}
    ending = "_codes" if codes == "plain" else ""
    assert sizes["exp_avg" + ending] == sizes["exp_avg_sq" + ending] == 640 * 8
    assert sizes["basis_right_codes"] == 32 * 8 // 2
    assert sizes["basis_right_range"] == 8


def test_weights_are_taken_from_a_grid_of_256_where_it_is_asked_for():
    param = parameter((16, 16), dtype=torch.float32)
    apply(QGaLore([param], rank=4, weight_bits=8), param, gradients((16, 16), 1, dtype=torch.float32))
    weights = param.detach()
    codes = (weights - weights.min()) / ((weights.max() - weights.min()) / 255)
    torch.testing.assert_close(codes, codes.round(), atol=2e-2, rtol=0)
    with pytest.raises(ValueError, match=r"^weight_bits must be one of 0, 8, got 4$"):
        QGaLore([param], rank=4, weight_bits=4)


def test_refuses_codes_of_another_rank(codes):
    saved_shape, wanted = (r"\[5120\]", r"\[6400\]") if codes == "plain" else (r"\[640, 8\]", r"\[640, 10\]")
    param = parameter((640, 20), dtype=torch.float32)
    optimizer = GaLoreAdamW8bit([param], rank=8)
    apply(optimizer, param, gradients((640, 20), 1, dtype=torch.float32))
    saved = optimizer.state_dict()
    saved["param_groups"][0]["rank"] = 10
    with pytest.raises(ValueError, match=f"a moment is {saved_shape}, this run needs {wanted}"):
        GaLoreAdamW8bit([param], rank=10).load_state_dict(saved)
