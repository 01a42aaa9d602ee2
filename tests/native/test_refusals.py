"""What is not taken is refused by name, with what to use instead, and before any weight has moved."""

import array
import math
import re

import pytest
import torch

from swift_native import AdamW, _native


def parameter(*shape, **options):
    return torch.nn.Parameter(torch.ones(*shape, **options))


def refuses_grad(param, grad, message):
    """Check that a step on `param` with `grad` is refused and that its neighbour has not moved."""
    neighbour = parameter(3)
    neighbour.grad = torch.ones(3)
    optimizer = AdamW([neighbour, param])
    param.grad = grad
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        optimizer.step()
    assert torch.equal(neighbour.detach(), torch.ones(3))


@pytest.mark.parametrize(
    ("param", "reason"),
    [
        (parameter(2, device="meta"), "it is on the meta device and has no values; load or initialise the model first"),
        (
            parameter(2, dtype=torch.complex64),
            "it is complex64; train torch.view_as_real() of it, or use torch.optim.AdamW",
        ),
        (parameter(2, dtype=torch.float16), "it is float16; the kernels take float32 and bfloat16 parameters"),
        (parameter(2, dtype=torch.float64), "it is float64; the kernels take float32 and bfloat16 parameters"),
        (torch.nn.Parameter(torch.ones(1).expand(4)), "it has elements that share memory (an expanded tensor)"),
    ],
)
def test_a_parameter_that_cannot_be_trained_is_refused_when_the_optimizer_is_made(param, reason):
    message = f"^{re.escape(f'the native AdamW cannot train parameter 1 of group 1: {reason}')}"
    with pytest.raises(ValueError, match=message):
        AdamW([{"params": [parameter(1)]}, {"params": [parameter(1), param]}])


def test_a_refused_group_is_not_added():
    optimizer = AdamW([parameter(1)])
    with pytest.raises(ValueError, match="float64"):
        optimizer.add_param_group({"params": [parameter(2, dtype=torch.float64)]})
    assert len(optimizer.param_groups) == 1


def test_a_parameter_with_a_name_is_called_by_it():
    layer = torch.nn.Linear(2, 2).double()
    with pytest.raises(ValueError, match=r"cannot train parameter 'weight': it is float64"):
        AdamW(layer.named_parameters())


def test_an_inference_tensor_is_refused():
    with torch.inference_mode():
        tensor = torch.ones(2)
    with pytest.raises(ValueError, match=r"it was made under torch\.inference_mode\(\)"):
        AdamW([tensor])


def test_a_fake_tensor_is_refused():
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        param = parameter(2)
    with pytest.raises(ValueError, match=r"it is a FakeTensor, whose memory is not a plain array; use torch\.optim"):
        AdamW([param])


def test_a_dtensor_of_sums_still_to_be_made_is_refused():
    from torch.distributed.tensor import DTensor, Partial, init_device_mesh

    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        param = torch.nn.Parameter(DTensor.from_local(torch.ones(2), init_device_mesh("cpu", (1,)), [Partial()]))
        with pytest.raises(ValueError, match=r"is a DTensor with sums that are still to be made \(Partial\); redistr"):
            AdamW([param])
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_parameter_on_a_gpu_is_refused():
    with pytest.raises(ValueError, match=r"it is on cuda:0, and these kernels run on the CPU; keep states and float32"):
        AdamW([parameter(2, device="cuda")])


def test_a_sparse_gradient_is_refused_with_the_reason():
    message = (
        "the gradient of parameter 1 of group 0 is sparse_coo: AdamW moves every element in every step, so a sparse "
        "gradient saves nothing; build the embedding with sparse=False, or use torch.optim.SparseAdam for it"
    )
    refuses_grad(parameter(3), torch.ones(3).to_sparse(), message)


def test_a_pair_of_dtypes_without_a_kernel_is_named():
    param = parameter(3)
    if not hasattr(param, "grad_dtype"):
        pytest.skip("this torch keeps gradients in the dtype of their parameter")
    param.grad_dtype = torch.float64
    message = "no kernel for parameter 1 of group 0: float32 parameter with float64 gradient"
    refuses_grad(param, torch.ones(3, dtype=torch.float64), message)


def test_a_parameter_that_changed_after_the_optimizer_was_made_is_refused():
    param = parameter(3)
    optimizer = AdamW([param])
    param.data = torch.ones(3, dtype=torch.float64)
    param.grad = torch.ones(3, dtype=torch.float64)
    with pytest.raises(ValueError, match="it is float64"):
        optimizer.step()


def test_a_parameter_that_lost_its_shape_is_refused():
    param = parameter(3)
    param.grad = torch.ones(3)
    optimizer = AdamW([param])
    param.data = torch.ones(2)
    with pytest.raises(ValueError, match=r"has shape \(3,\), the parameter \(2,\)"):
        optimizer.step()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"lr": -1.0}, "lr must be >= 0, got -1.0"),
        ({"lr": math.nan}, "lr must be >= 0, got nan"),
        ({"eps": -1e-8}, "eps must be >= 0, got -1e-08"),
        ({"weight_decay": -0.1}, "weight_decay must be >= 0, got -0.1"),
        ({"betas": (1.0, 0.9)}, "betas[0] must be in [0, 1), got 1.0"),
        ({"betas": (0.9, 1.5)}, "betas[1] must be in [0, 1), got 1.5"),
        ({"betas": (0.9,)}, "betas must be two numbers, got (0.9,)"),
        ({"betas": 0.9}, "betas must be two numbers, got 0.9"),
    ],
)
def test_a_wrong_option_is_an_error_with_the_value(option, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        AdamW([parameter(1)], **option)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        AdamW([{"params": [parameter(1)], **option}])


FIELDS = ["param", "grad", "state0", "state1", "state2", "scale0", "scale1", "scale2", "compensation", "copy", "step"]
FIELDS += ["num_elements", "first_element", "grad_dtype", "weights", "storage", "group"]


def row(**changes):
    return array.array("q", (dict.fromkeys(FIELDS, 0) | changes).values())


FULL = {"param": 8, "grad": 8, "state0": 8, "state1": 8, "step": 8, "num_elements": 4}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (array.array("q", [0] * 16), "rows must be a flat array of whole rows of 17"),
        (array.array("i", [0] * 17), "rows must be a flat array of whole rows of 17"),
        (row(step=8, num_elements=-1), "a row has a negative number of elements"),
        (row(step=8, num_elements=4), "a row has a null address"),
        (row(**FULL | {"state1": 0}), "a row has a null address"),
        (row(**FULL, storage=2), "a row has a null address"),
        (row(**FULL, weights=3), "a row has a null address"),
        (row(**FULL, weights=2, copy=8), "a row must have float weights"),
        (row(step=8, group=1), "a row names a group without options"),
        (row(step=8, grad_dtype=3), "a row names an unknown dtype"),
        (row(step=8, weights=4), "a row names an unknown format of weights"),
        (row(step=8, storage=3), "a row names an unknown format of states"),
        (row(), "a row has no step count"),
    ],
)
def test_the_border_to_the_kernels_refuses_rows_that_cannot_be_right(rows, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        _native.take_step(0, rows, array.array("d", [0.0] * 10), 1.0, 1)


def test_the_border_refuses_no_threads_and_unknown_rules():
    with pytest.raises(ValueError, match=r"^num_threads must be >= 1, got 0$"):
        _native.take_step(0, row(), array.array("d", [0.0] * 10), 1.0, 0)
    with pytest.raises(ValueError, match=r"^there is no rule 9$"):
        _native.take_step(9, row(), array.array("d", [0.0] * 10), 1.0, 1)
