import pytest
import torch
from tests.reference.trajectory import apply, gradients, parameter

from swift_optim_zoo.lomo import Lomo


def test_moves_as_gradient_descent_of_torch():
    ours, theirs = parameter((6, 5)), parameter((6, 5))
    grads = gradients((6, 5), 5)
    apply(Lomo([ours], lr=0.1), ours, grads)
    apply(torch.optim.SGD([theirs], lr=0.1), theirs, grads)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


def test_elements_are_clipped_and_decay_is_decoupled():
    param = torch.nn.Parameter(torch.tensor([1.0, 1.0, 1.0]))
    apply(Lomo([param], lr=0.1, clip_value=2.0, weight_decay=1.0), param, [torch.tensor([5.0, -5.0, 1.0])])
    torch.testing.assert_close(param.detach(), torch.tensor([0.7, 1.1, 0.8]))


def test_keeps_no_state():
    param = parameter((6, 5))
    optimizer = Lomo([param])
    apply(optimizer, param, gradients((6, 5), 1))
    assert not optimizer.state[param]


def test_refuses_a_negative_clip():
    with pytest.raises(ValueError, match=r"^clip_value must be >= 0, got -1.0$"):
        Lomo([parameter((2,))], clip_value=-1.0)
