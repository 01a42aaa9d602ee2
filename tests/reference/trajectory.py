"""Runs an optimizer and its slow reference over the same gradients, in float64."""

from __future__ import annotations

import io

import numpy as np
import torch


def gradients(shape, num_steps, seed=0, dtype=torch.float64):
    """Return random gradients, growing and shrinking from step to step."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(num_steps)]
    return [(grad * (1 + step % 3)).to(dtype) for step, grad in enumerate(drawn)]


def parameter(shape, seed=1, dtype=torch.float64):
    """Return a random parameter."""
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype))


def apply(optimizer, param, grads):
    """Step through the gradients."""
    for grad in grads:
        param.grad = grad.clone()
        optimizer.step()


def reload(state):
    """Return a state as it comes back from a checkpoint."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_follows(make_optimizer, make_reference, shape, *, num_steps=8, seed=0, rtol=1e-9, atol=1e-11):
    """Check the weights after every step against `make_reference(start)`, which has `weight` and `step(grad)`."""
    param = parameter(shape, seed)
    reference = make_reference(param.detach().numpy().copy())
    optimizer = make_optimizer(param)
    for grad in gradients(shape, num_steps, seed + 1):
        apply(optimizer, param, [grad])
        reference.step(grad.numpy())
        np.testing.assert_allclose(param.detach().numpy(), reference.weight, rtol=rtol, atol=atol)
