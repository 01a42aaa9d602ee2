"""Tensors that do not lie in memory from end to end, against the same values in plain ones."""

import copy
import itertools

import pytest
import torch

from swift_native import AdamW

SHAPE = (4, 6, 3, 5)
LAYOUTS = {
    "contiguous": lambda values: values.clone(),
    "transposed": lambda values: values.transpose(0, 3).contiguous().transpose(0, 3),
    "channels_last": lambda values: values.contiguous(memory_format=torch.channels_last),
    "sliced": lambda values: torch.zeros(*SHAPE[:3], 10, dtype=values.dtype)[..., ::2].copy_(values),
    "narrowed": lambda values: torch.zeros(4, 9, 3, 5, dtype=values.dtype)[:, 2:8].copy_(values),
    "negated": lambda values: torch.complex(torch.zeros(SHAPE), -values).conj().imag,
}


def values(seed):
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def trained(param_layout, grad_layout, dtype=torch.float32):
    param = torch.nn.Parameter(LAYOUTS[param_layout](values(0).to(dtype)))
    optimizer = AdamW([param], lr=0.1, amsgrad=True)
    for step in range(3):
        param.grad = LAYOUTS[grad_layout](values(step + 1).to(dtype))
        optimizer.step()
    return param, optimizer


def test_the_layouts_are_what_their_names_say():
    made = {name: build(values(0)) for name, build in LAYOUTS.items()}
    assert all(torch.equal(tensor, values(0)) for tensor in made.values())
    assert {name for name, tensor in made.items() if tensor.is_contiguous()} == {"contiguous"}
    assert made["negated"].is_neg()


@pytest.mark.parametrize(("param_layout", "grad_layout"), list(itertools.product(LAYOUTS, LAYOUTS)))
def test_order_in_memory_does_not_change_a_bit(param_layout, grad_layout):
    plain, _ = trained("contiguous", "contiguous")
    param, _ = trained(param_layout, grad_layout)
    assert torch.equal(param, plain)


def test_order_in_memory_does_not_change_a_bit_in_bfloat16():
    plain, _ = trained("contiguous", "contiguous", torch.bfloat16)
    for layout in ("transposed", "sliced"):
        param, _ = trained(layout, "channels_last", torch.bfloat16)
        assert not param.is_contiguous()
        assert torch.equal(param, plain)


def test_an_expanded_gradient_counts_for_every_element():
    ours, theirs = (torch.nn.Parameter(torch.ones(4, 5)) for _ in range(2))
    for param, cls in ((ours, AdamW), (theirs, torch.optim.AdamW)):
        param.grad = torch.arange(5.0).expand(4, 5)
        cls([param], lr=0.1).step()
    torch.testing.assert_close(ours, theirs)


def test_a_sliced_parameter_is_updated_in_place_and_its_surroundings_are_not():
    base = torch.ones(4, 10)
    param = torch.nn.Parameter(base[:, ::2])
    param.grad = torch.ones(4, 5)
    version = param._version
    AdamW([param], lr=0.1, weight_decay=0.0).step()
    torch.testing.assert_close(base[:, ::2], torch.full((4, 5), 0.9))
    assert torch.equal(base[:, 1::2], torch.ones(4, 5))
    assert param._version > version


def test_dense_parameters_keep_moments_in_their_own_order():
    param, optimizer = trained("channels_last", "contiguous")
    assert optimizer.state[param]["exp_avg"].stride() == param.stride()


@pytest.mark.parametrize("layout", ["transposed", "channels_last"])
def test_moments_loaded_in_another_order_are_rearranged(layout):
    param, optimizer = trained("contiguous", "contiguous")
    saved = copy.deepcopy(optimizer.state_dict())
    other = torch.nn.Parameter(LAYOUTS[layout](param.detach()))
    resumed = AdamW([other], lr=0.1, amsgrad=True)
    resumed.load_state_dict(saved)
    for one, each in ((param, optimizer), (other, resumed)):
        one.grad = values(9)
        each.step()
    assert torch.equal(param, other)


def test_a_scalar_and_dimensions_of_one_are_taken():
    scalar = torch.nn.Parameter(torch.tensor(1.0))
    row = torch.nn.Parameter(torch.ones(6, 1).as_strided((1, 6), (77, 1)))
    scalar.grad, row.grad = torch.tensor(1.0), torch.ones(1, 6)
    AdamW([scalar, row], lr=0.1, weight_decay=0.0).step()
    assert scalar.item() == pytest.approx(0.9)
    torch.testing.assert_close(row.detach(), torch.full((1, 6), 0.9))
