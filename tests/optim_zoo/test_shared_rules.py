"""What holds for every optimizer of this wheel, by the entry points of its pyproject.toml."""

import copy
import importlib
import re
from pathlib import Path

import pytest
import torch
from tests.reference.trajectory import apply, gradients, parameter, reload
from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

from swift_optim_zoo import _chunks

PYPROJECT = Path(__file__).parents[2] / "packages/swift-optim-zoo/pyproject.toml"
SECTION = PYPROJECT.read_text(encoding="utf-8").partition('[project.entry-points."swift.optimizers"]')[2]
TARGETS = dict(re.findall(r'^(\w+) = "([\w.:]+)"$', SECTION.partition("\n[")[0], flags=re.MULTILINE))
LOW_RANK = {"galore_adamw", "galore_adamw8bit", "galore_adafactor", "q_galore", "fira", "apollo", "apollo_mini"}
COUNTS = {"seed", "refresh_at", "gap", "basis_right_codes", "basis_right_shape"}
DTYPES = (torch.float32, torch.bfloat16)

MOVES_EACH_WEIGHT_ALONE = {
    "adagrad",
    "ademamix",
    "adopt",
    "lion",
    "rmsprop",
    "schedule_free_adamw",
    "schedule_free_radam",
    "schedule_free_sgd",
    "sgd",
    "sophia",
}

every_optimizer = pytest.mark.parametrize("name", sorted(TARGETS))


def make(name, params, **options):
    module, _, attribute = TARGETS[name].partition(":")
    options = {"lr": 1e-1, "weight_decay": 0.1} | options
    if name in LOW_RANK:
        options |= {"rank": 2, "update_proj_gap": 3}
    if name == "schedule_free_radam":
        options |= {"silent_sgd_phase": False}  # which moves nothing in the few steps taken here
    return getattr(importlib.import_module(module), attribute)(params, **options)


@every_optimizer
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(6, 5), (7,)])
def test_a_run_that_stopped_and_went_on_is_equal_bit_for_bit(name, dtype, shape):
    grads = gradients(shape, 10, dtype=dtype)
    straight, halfway = parameter(shape, dtype=dtype), parameter(shape, dtype=dtype)
    apply(make(name, [straight]), straight, grads)
    first = make(name, [halfway])
    apply(first, halfway, grads[:4])
    resumed = torch.nn.Parameter(halfway.detach().clone())
    second = make(name, [resumed])
    second.load_state_dict(reload(first.state_dict()))
    apply(second, resumed, grads[4:])
    assert torch.equal(resumed, straight)


@every_optimizer
def test_states_hold_tensors_only_and_are_wide_for_narrow_weights(name):
    param = parameter((6, 5), dtype=torch.bfloat16)
    optimizer = make(name, [param])
    apply(optimizer, param, gradients((6, 5), 2, dtype=torch.bfloat16))
    state = optimizer.state[param]
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert {value.dtype for key, value in state.items() if key not in COUNTS} <= {torch.float32}
    assert param.dtype is torch.bfloat16


@every_optimizer
def test_a_bfloat16_weight_is_the_rounded_weight_of_a_float32_step(name):
    narrow = parameter((6, 5), dtype=torch.bfloat16)
    wide = torch.nn.Parameter(narrow.detach().float())
    grad = gradients((6, 5), 1, dtype=torch.bfloat16)[0]
    apply(make(name, [narrow]), narrow, [grad])
    apply(make(name, [wide]), wide, [grad.float()])
    assert torch.equal(narrow, wide.bfloat16())


@every_optimizer
def test_the_gradient_is_left_as_it_is(name):
    param = parameter((6, 5), dtype=torch.float32)
    optimizer = make(name, [param])
    for grad in gradients((6, 5), 3, dtype=torch.float32):
        apply(optimizer, param, [grad])
        assert torch.equal(param.grad, grad)


@every_optimizer
@pytest.mark.parametrize("shape", [(6, 5), (7,)])
def test_a_learning_rate_of_zero_changes_nothing(name, shape):
    param = parameter(shape)
    start = param.detach().clone()
    apply(make(name, [param], lr=0.0), param, gradients(shape, 3))
    assert torch.equal(param, start)


@every_optimizer
def test_no_state_is_kept_where_there_is_no_gradient(name):
    frozen, trained = parameter((6, 5)), parameter((6, 5))
    optimizer = make(name, [frozen, trained])
    apply(optimizer, trained, gradients((6, 5), 2))
    assert frozen not in optimizer.state


@every_optimizer
def test_strides_of_the_gradient_do_not_matter(name):
    first, second = parameter((6, 5), dtype=torch.float32), parameter((6, 5), dtype=torch.float32)
    grads = gradients((6, 5), 3, dtype=torch.float32)
    transposed = make(name, [second])
    apply(make(name, [first]), first, grads)
    for grad in grads:
        second.grad = grad.T.contiguous().T
        transposed.step()
    torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6)


@every_optimizer
def test_a_weight_that_is_a_view_of_columns_moves_as_a_plain_one(name):
    plain = parameter((6, 5), dtype=torch.float32)
    holder = torch.zeros(5, 6)
    view = torch.nn.Parameter(holder.T)
    with torch.no_grad():
        view.copy_(plain)
    grads = gradients((6, 5), 3, dtype=torch.float32)
    apply(make(name, [plain]), plain, grads)
    apply(make(name, [view]), view, grads)
    torch.testing.assert_close(plain, view, rtol=1e-5, atol=1e-6)


@every_optimizer
def test_a_copy_goes_on_equally(name):
    param = parameter((6, 5))
    optimizer = make(name, [param])
    apply(optimizer, param, gradients((6, 5), 2))
    twin = copy.deepcopy(optimizer)
    twin_param = twin.param_groups[0]["params"][0]
    apply(optimizer, param, gradients((6, 5), 2, seed=9))
    apply(twin, twin_param, gradients((6, 5), 2, seed=9))
    assert torch.equal(param, twin_param)


@every_optimizer
def test_a_backward_through_moved_weights_is_noticed(name):
    param = parameter((6, 5))
    loss = param.square().sum()
    apply(make(name, [param]), param, gradients((6, 5), 2))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@every_optimizer
def test_a_closure_runs_with_gradients_and_gives_its_loss(name):
    param = parameter((6, 5))
    optimizer = make(name, [param])

    def closure():
        optimizer.zero_grad()
        loss = param.square().sum()
        loss.backward()
        return loss.item()

    expected = param.square().sum().item()
    assert optimizer.step(closure) == expected


@every_optimizer
def test_sparse_gradients_are_refused(name):
    table = torch.nn.Embedding(8, 4, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match=r"cannot take sparse gradients: set sparse=False in the embedding$"):
        make(name, table.parameters()).step()


@every_optimizer
def test_complex_parameters_are_refused(name):
    param = torch.nn.Parameter(torch.zeros(6, 5, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"cannot take complex parameters, got one of torch.complex64$"):
        make(name, [param])


@every_optimizer
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("option", ["lr", "weight_decay"])
def test_a_rate_or_decay_that_is_no_number_from_zero_up_is_refused(name, option, value):
    with pytest.raises(ValueError, match=rf"^{option} must be >= 0, got {value}$"):
        make(name, [parameter((6, 5))], **{option: value})


@every_optimizer
def test_betas_out_of_range_are_refused(name):
    if "betas" not in make(name, [parameter((6, 5))]).defaults:
        return
    for betas, message in (((1.0, 0.9), r"beta1 must be in \[0, 1\), got 1.0"), ((0.9, -0.1), "beta2 must be in")):
        with pytest.raises(ValueError, match=message):
            make(name, [parameter((6, 5))], betas=betas)


@every_optimizer
def test_a_group_has_its_own_options_and_they_are_checked(name):
    first, second = parameter((6, 5)), parameter((6, 5))
    optimizer = make(name, [{"params": [first]}, {"params": [second], "weight_decay": 0.0}])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    with pytest.raises(ValueError, match=r"^weight_decay must be >= 0, got -2.0$"):
        optimizer.add_param_group({"params": [parameter((3,))], "weight_decay": -2.0})


@every_optimizer
def test_a_group_added_later_is_moved(name):
    optimizer = make(name, [parameter((6, 5))], lr=1.0)
    late = parameter((6, 5))
    start = late.detach().clone()
    optimizer.add_param_group({"params": [late]})
    apply(optimizer, late, gradients((6, 5), 2))
    assert not torch.equal(late, start)


@every_optimizer
def test_a_tensor_without_dimensions_or_elements_is_no_trouble(name):
    scalar, empty = parameter(()), parameter((0, 5))
    optimizer = make(name, [scalar, empty])
    for step in range(2):
        scalar.grad, empty.grad = gradients((), 2)[step], gradients((0, 5), 2)[step]
        optimizer.step()
    assert torch.isfinite(scalar)


@every_optimizer
def test_it_has_a_page(name):
    page = (PYPROJECT.parents[2] / f"docs/optimizers/{name}.md").read_text(encoding="utf-8")
    assert f"```{{plugin}} optimizer {name}\n" in page
    assert f"optimizer_type: {name}\n" in page
    table = (PYPROJECT.parents[2] / "docs/optimizers.md").read_text(encoding="utf-8")
    assert f"[`{name}`](optimizers/{name}.md)" in table


@pytest.mark.parametrize("name", sorted(set(TARGETS) - MOVES_EACH_WEIGHT_ALONE))
def test_what_looks_at_whole_parameters_refuses_a_part(name):
    partitioned = parameter((0,))
    partitioned.ds_id = 3  # ZeRO-3's mark
    with pytest.raises(ValueError, match="needs whole matrices and got a parameter partitioned by ZeRO-3: each rank "):
        make(name, [partitioned])


@pytest.fixture
def mesh():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("name", sorted(MOVES_EACH_WEIGHT_ALONE))
def test_what_moves_each_weight_alone_takes_a_part(name, mesh):
    whole = parameter((6, 5))
    part = torch.nn.Parameter(distribute_tensor(whole.detach().clone(), mesh, [Shard(0)]))
    grads = gradients((6, 5), 3)
    apply(make(name, [whole]), whole, grads)
    apply(make(name, [part]), part, [distribute_tensor(grad, mesh, [Shard(0)]) for grad in grads])
    assert torch.equal(part.full_tensor(), whole)


@every_optimizer
@pytest.mark.parametrize("shape", [(9, 6), (5, 12), (3, 4, 5), (23,)])
def test_pieces_that_are_worked_on_one_by_one_change_rounding_alone(name, shape, monkeypatch):
    whole, pieces = parameter(shape), parameter(shape)
    apply(make(name, [whole]), whole, gradients(shape, 4))
    monkeypatch.setattr(_chunks, "CHUNK", 13)
    apply(make(name, [pieces]), pieces, gradients(shape, 4))
    torch.testing.assert_close(pieces, whole, rtol=1e-9, atol=1e-11)
