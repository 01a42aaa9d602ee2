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


def test_a_groups_own_decay_wins():
    parameter = torch.nn.Parameter(torch.ones(1))
    assert AdamW([group(parameter, 0.0)], weight_decay=0.5).param_groups[0]["weight_decay"] == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.0}, r"^lr must be > 0, got 0.0$"),
        ({"betas": (0.9, 1.0)}, r"^beta2 must be in \[0, 1\), got 1.0$"),
        ({"weight_decay": -1.0}, r"^weight_decay must be >= 0, got -1.0$"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AdamW([group(torch.nn.Parameter(torch.ones(1)), 0.0)], **options)
