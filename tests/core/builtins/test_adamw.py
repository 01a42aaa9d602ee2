import copy

import pytest
import torch

from swift_core.builtins.adamw import AdamW


def group(parameter, weight_decay):
    return {"params": [parameter], "param_names": ["p"], "weight_decay": weight_decay}


def test_two_steps_are_those_of_the_paper():
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = AdamW([group(parameter, 0.1)], lr=0.01, betas=(0.8, 0.9), eps=1e-6)
    p, m, v = parameter.detach().double(), torch.zeros(2).double(), torch.zeros(2).double()
    for step, grad in enumerate((torch.tensor([0.5, -1.0]), torch.tensor([-0.25, 2.0])), start=1):
        parameter.grad = grad.clone()
        optimizer.step()
        g = grad.double()
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        p = p * (1 - 0.01 * 0.1) - 0.01 * (m / (1 - 0.8**step)) / ((v / (1 - 0.9**step)).sqrt() + 1e-6)
    assert torch.allclose(parameter.detach().double(), p, atol=1e-6)


def gradients(like, count=4):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(like.shape, generator=generator) for _ in range(count)]


def step_through(optimizer, parameter, grads):
    for grad in grads:
        parameter.grad = grad.clone(memory_format=torch.preserve_format)
        optimizer.step()


LAYOUTS = {
    "transposed weight": (lambda: torch.randn(6, 8, generator=torch.Generator().manual_seed(1)).T, lambda grad: grad),
    "every other column": (
        lambda: torch.randn(8, 12, generator=torch.Generator().manual_seed(1))[:, ::2],
        lambda grad: grad,
    ),
    "transposed gradient": (
        lambda: torch.randn(8, 6, generator=torch.Generator().manual_seed(1)),
        lambda grad: grad.T.contiguous().T,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("copied", [False, True])
def test_how_weights_and_gradients_lie_in_memory_does_not_matter(layout, copied):
    start, laid_out = LAYOUTS[layout]
    ours, theirs = torch.nn.Parameter(start()), torch.nn.Parameter(start().double())
    optimizer = AdamW([ours], lr=1e-2, weight_decay=0.1)
    if copied:
        ours, optimizer = copy.deepcopy((ours, optimizer))
    grads = gradients(ours)
    step_through(optimizer, ours, [laid_out(grad) for grad in grads])
    step_through(
        torch.optim.AdamW([theirs], lr=1e-2, weight_decay=0.1, foreach=False), theirs, [g.double() for g in grads]
    )
    torch.testing.assert_close(ours.detach(), theirs.detach().float(), rtol=1e-5, atol=1e-6)


def test_a_backward_through_moved_weights_is_noticed():
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer, loss = AdamW([parameter]), parameter.square().sum()
    step_through(optimizer, parameter, [torch.ones(3)])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("form", ["tensors", "named", "group"])
def test_a_rate_of_zero_changes_no_bit_in_whatever_form_parameters_come(form):
    parameter = torch.nn.Parameter(torch.tensor([1.0, 0.0, 3e-40]))
    forms = {"tensors": [parameter], "named": [("p", parameter)], "group": [group(parameter, 0.5)]}
    before = parameter.detach().clone()
    step_through(AdamW(iter(forms[form]), lr=0.0, weight_decay=0.5), parameter, gradients(parameter))
    assert torch.equal(parameter.detach().view(torch.int32), before.view(torch.int32))


def test_a_group_that_the_fused_kernel_does_not_fit_is_moved_with_the_others():
    first, late = torch.nn.Parameter(torch.ones(4)), torch.nn.Parameter(torch.ones(3, 2).T)
    optimizer = AdamW([first], lr=1e-1)
    assert optimizer.param_groups[0]["fused"]
    optimizer.add_param_group({"params": [late]})
    assert not any(each["fused"] for each in optimizer.param_groups)
    for parameter in (first, late):
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    torch.testing.assert_close(late.detach(), torch.full((2, 3), 0.9))


def test_a_groups_own_decay_wins():
    parameter = torch.nn.Parameter(torch.ones(1))
    assert AdamW([group(parameter, 0.0)], weight_decay=0.5).param_groups[0]["weight_decay"] == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, r"^lr must be >= 0, got -1.0$"),
        ({"eps": 0.0}, r"^eps must be > 0, got 0.0$"),
        ({"betas": (0.9, 1.0)}, r"^beta2 must be in \[0, 1\), got 1.0$"),
        ({"weight_decay": -1.0}, r"^weight_decay must be >= 0, got -1.0$"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AdamW([group(torch.nn.Parameter(torch.ones(1)), 0.0)], **options)
