import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.adamw import AdamWReference

from swift_native import AdamW

options = st.fixed_dictionaries(
    {
        "lr": st.sampled_from([1e-4, 1e-2, 0.3]),
        "betas": st.sampled_from([(0.9, 0.999), (0.0, 0.5), (0.95, 0.98), (0.5, 0.0)]),
        "eps": st.sampled_from([1e-8, 1e-3]),
        "weight_decay": st.sampled_from([0.0, 0.01, 0.5]),
        "amsgrad": st.booleans(),
        "maximize": st.booleans(),
    }
)
shapes = st.lists(st.integers(1, 9), min_size=0, max_size=3).map(tuple)


def random(shape, seed, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def apply(optimizer, params, num_steps, seed=100):
    for step in range(num_steps):
        for index, param in enumerate(params):
            param.grad = random(param.shape, seed + 17 * step + index, param.dtype)
        optimizer.step()


@settings(max_examples=60, deadline=None)
@given(shape=shapes, option=options, num_steps=st.integers(1, 6), seed=st.integers(0, 1000))
def test_matches_the_formula_written_out_in_double_precision(shape, option, num_steps, seed):
    param = torch.nn.Parameter(random(shape, seed))
    expected = [AdamWReference(weight, **option) for weight in param.detach().double().flatten().tolist()]
    grads = [random(shape, seed + 1 + step) for step in range(num_steps)]

    optimizer = AdamW([param], **option)
    for grad in grads:
        param.grad = grad.clone()
        optimizer.step()
        for element, value in zip(expected, grad.double().flatten().tolist(), strict=True):
            element.step(value)

    wanted = torch.tensor([element.weight for element in expected], dtype=torch.float64).reshape(shape)
    torch.testing.assert_close(
        param.detach().double(), wanted, rtol=1e-6, atol=num_steps * 2e-6 * max(option["lr"], 0.1)
    )


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.tuples(st.lists(shapes, min_size=1, max_size=3), options), min_size=1, max_size=3),
    num_steps=st.integers(1, 8),
    skipped=st.integers(0, 8),
)
def test_matches_torch_over_groups_and_missing_gradients(groups, num_steps, skipped):
    def build(cls):
        torch.manual_seed(0)
        made = [
            {"params": [torch.nn.Parameter(torch.randn(shape)) for shape in each], **option} for each, option in groups
        ]
        return cls(made)

    ours, theirs = build(AdamW), build(torch.optim.AdamW)
    for optimizer in (ours, theirs):
        params = [param for group in optimizer.param_groups for param in group["params"]]
        for step in range(num_steps):
            for index, param in enumerate(params):
                param.grad = None if step == index + skipped else random(param.shape, 31 * step + index)
            optimizer.step()

    for our_group, their_group in zip(ours.param_groups, theirs.param_groups, strict=True):
        for our, their in zip(our_group["params"], their_group["params"], strict=True):
            scale = max(0.1, our_group["lr"])
            torch.testing.assert_close(our, their, rtol=2e-6, atol=num_steps * 2e-6 * scale)
            assert ours.state[our].keys() == theirs.state[their].keys()
            if ours.state[our]:
                torch.testing.assert_close(ours.state[our]["exp_avg_sq"], theirs.state[their]["exp_avg_sq"])
                assert ours.state[our]["step"] == theirs.state[their]["step"]


def test_one_step_from_zero_moves_by_the_learning_rate_against_the_gradient():
    param = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
    param.grad = torch.tensor([5.0, -0.01])
    AdamW([param], lr=0.25, eps=0.0, weight_decay=0.0).step()
    torch.testing.assert_close(param.detach(), torch.tensor([0.75, -0.75]))


def test_weight_decay_alone_shrinks_a_weight_by_its_share():
    param = torch.nn.Parameter(torch.tensor([2.0]))
    param.grad = torch.zeros(1)
    AdamW([param], lr=0.5, weight_decay=0.1).step()
    assert param.item() == pytest.approx(2.0 * 0.95, rel=1e-7)


@pytest.mark.parametrize("num_elements", [0, 1, 15, 16, 17, 63, 64, 65, 255, 256, 257, 4095, 65535, 65536, 65537])
def test_every_element_is_updated_once_at_any_size(num_elements):
    memory = random(num_elements + 64, 3)
    ours = torch.nn.Parameter(memory[32 : 32 + num_elements])
    theirs = torch.nn.Parameter(ours.detach().clone())
    before, after = memory[:32].clone(), memory[32 + num_elements :].clone()

    apply(AdamW([ours], lr=0.1), [ours], 3)
    apply(torch.optim.AdamW([theirs], lr=0.1), [theirs], 3)

    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    assert torch.equal(memory[:32], before)
    assert torch.equal(memory[32 + num_elements :], after)


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("param_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("grad_dtype", [torch.float32, torch.bfloat16])
def test_each_pair_of_dtypes_is_computed_in_float32_and_rounded_once(param_dtype, grad_dtype, amsgrad):
    start, grad = random(1000, 1).to(param_dtype), random(1000, 2).to(grad_dtype)
    param = torch.nn.Parameter(start.clone())
    if grad_dtype is not param_dtype:
        if not hasattr(param, "grad_dtype"):
            pytest.skip("this torch keeps gradients in the dtype of their parameter")
        param.grad_dtype = grad_dtype
    param.grad = grad
    exact = torch.nn.Parameter(start.float())
    exact.grad = grad.float()

    AdamW([param], lr=0.1, amsgrad=amsgrad).step()
    AdamW([exact], lr=0.1, amsgrad=amsgrad).step()

    assert torch.equal(param.detach(), exact.detach().to(param_dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_bad_gradient_spoils_its_own_element_only(dtype, bad):
    param = torch.nn.Parameter(torch.ones(200, dtype=dtype))
    param.grad = torch.ones(200, dtype=dtype)
    param.grad[70] = bad
    AdamW([param]).step()
    assert param[70].isnan()
    assert param.isnan().sum() == 1


def test_a_nan_with_every_bit_set_stays_one_when_rounded_to_bfloat16():
    param = torch.nn.Parameter(torch.ones(70, dtype=torch.bfloat16))
    if not hasattr(param, "grad_dtype"):
        pytest.skip("this torch keeps gradients in the dtype of their parameter")
    param.grad_dtype = torch.float32
    param.grad = torch.full((70,), 0x7FFFFFFF, dtype=torch.int32).view(torch.float32)
    AdamW([param]).step()
    assert param.isnan().all()


def test_amsgrad_keeps_a_nan_as_torch_does():
    seen = []
    for cls in (AdamW, torch.optim.AdamW):
        param = torch.nn.Parameter(torch.ones(2))
        optimizer = cls([param], amsgrad=True)
        apply(optimizer, [param], 1)
        optimizer.state[param]["max_exp_avg_sq"][0] = float("nan")
        apply(optimizer, [param], 1)
        seen.append((param.isnan().tolist(), optimizer.state[param]["max_exp_avg_sq"].isnan().tolist()))
    assert seen == [([True, False], [True, False])] * 2


def test_a_learning_rate_of_zero_changes_no_weight():
    param = torch.nn.Parameter(random((50,), 1))
    before = param.detach().clone()
    apply(AdamW([param], lr=0.0), [param], 3)
    assert torch.equal(param.detach(), before)


def test_a_schedule_may_hold_the_learning_rate_in_a_tensor():
    ours, theirs = (torch.nn.Parameter(random((50,), 1)) for _ in range(2))
    optimizer = AdamW([ours], lr=0.1)
    optimizer.param_groups[0]["lr"] = torch.tensor(0.01)
    apply(optimizer, [ours], 2)
    apply(AdamW([theirs], lr=float(torch.tensor(0.01))), [theirs], 2)
    assert torch.equal(ours, theirs)


def test_follows_a_torch_schedule():
    param = torch.nn.Parameter(torch.zeros(1))
    optimizer = AdamW([param], lr=1.0, weight_decay=0.0, eps=0.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    for _ in range(3):
        param.grad = torch.ones(1)
        optimizer.step()
        schedule.step()
    assert param.item() == pytest.approx(-1.75)


def test_a_closure_is_called_with_gradients_enabled_and_its_value_returned():
    param = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = AdamW([param])

    def closure():
        optimizer.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 9.0
    assert param.item() < 3.0


def test_hooks_run_before_and_after_a_step():
    param = torch.nn.Parameter(torch.ones(3))
    param.grad = torch.ones(3)
    optimizer, seen = AdamW([param], lr=0.1), []
    optimizer.register_step_pre_hook(lambda *_: seen.append(param[0].item()))
    optimizer.register_step_post_hook(lambda *_: seen.append(param[0].item()))
    optimizer.step()
    assert seen[0] == 1.0
    assert seen[1] < 1.0


def test_a_backward_pass_through_weights_that_have_moved_since_is_refused():
    param = torch.nn.Parameter(torch.ones(3))
    optimizer = AdamW([param])
    loss = (param**2).sum()
    param.grad = torch.ones(3)
    version = param._version
    optimizer.step()
    assert param._version > version
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_parameter_without_a_gradient_gets_no_state_and_does_not_move():
    still, moving = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    moving.grad = torch.ones(3)
    optimizer = AdamW([still, moving])
    optimizer.step()
    assert torch.equal(still.detach(), torch.ones(3))
    assert still not in optimizer.state


def test_a_step_without_any_gradient_does_nothing():
    optimizer = AdamW([torch.nn.Parameter(torch.ones(3))])
    assert optimizer.step() is None
    assert not optimizer.state


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
def test_a_copied_or_pickled_optimizer_goes_on_with_the_same_bits(clone):
    param = torch.nn.Parameter(random((3, 5), 1))
    optimizer = AdamW([param], lr=0.1)
    apply(optimizer, [param], 2)
    twin = clone(optimizer)
    (twin_param,) = twin.param_groups[0]["params"]
    apply(optimizer, [param], 3, seed=9)
    apply(twin, [twin_param], 3, seed=9)
    assert twin_param is not param
    assert torch.equal(twin_param, param)


def test_named_parameters_are_taken():
    layer = torch.nn.Linear(2, 2)
    optimizer = AdamW(layer.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]


def test_trains_a_layer_to_fit_a_line():
    torch.manual_seed(0)
    layer = torch.nn.Linear(1, 1)
    optimizer = AdamW(layer.parameters(), lr=0.05, weight_decay=0.0)
    inputs = torch.linspace(-1, 1, 32).unsqueeze(1)
    for _ in range(400):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(layer(inputs), 3 * inputs - 1).backward()
        optimizer.step()
    assert layer.weight.item() == pytest.approx(3, abs=1e-2)
    assert layer.bias.item() == pytest.approx(-1, abs=1e-2)
