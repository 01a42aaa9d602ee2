"""Clipping by an optimizer that does it inside its step: no pass of its own, the same weights."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType

from swift_core.train.optimizer_state import clip_in_step


class ClippingSGD(torch.optim.SGD):
    """SGD that scales the gradients inside its step."""

    factor = 1.0

    def clip_next_step(self, max_norm):
        norm = torch.nn.utils.get_total_norm([p.grad for group in self.param_groups for p in group["params"]])
        self.factor = min(1.0, max_norm / (float(norm) + 1e-6))
        return norm


@pytest.fixture
def accelerator():
    return Accelerator(cpu=True)


def test_an_optimizer_that_clips_is_found_behind_accelerate(accelerator):
    param = torch.nn.Parameter(torch.zeros(2))
    param.grad = torch.tensor([3.0, 4.0])
    prepared = accelerator.prepare_optimizer(ClippingSGD([param], lr=1.0))
    clip = clip_in_step(prepared, accelerator)
    assert float(clip(1.0)) == 5.0
    assert prepared.optimizer.factor == pytest.approx(0.2)
    assert torch.equal(param.grad, torch.tensor([3.0, 4.0]))


def test_other_optimizers_are_clipped_as_usual(accelerator):
    assert clip_in_step(torch.optim.SGD([torch.zeros(2)], lr=1.0), accelerator) is None


@pytest.mark.parametrize("way", [DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM])
def test_a_process_with_parts_of_parameters_leaves_the_norm_to_accelerate(accelerator, monkeypatch, way):
    monkeypatch.setattr(type(accelerator), "distributed_type", way)
    assert clip_in_step(ClippingSGD([torch.zeros(2)], lr=1.0), accelerator) is None
