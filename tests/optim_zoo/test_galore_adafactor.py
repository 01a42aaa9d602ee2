import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.adafactor import rms
from tests.reference.galore_adamw import nearest, singular_basis
from tests.reference.trajectory import apply, assert_follows, gradients, parameter

from swift_optim_zoo.galore_adafactor import GaLoreAdafactor


class Reference:
    """GaLore around Adafactor in float64, on the right side; moments rotated, aligned or kept."""

    def __init__(self, weight, *, lr, rank, gap, scale, beta1, weight_decay, moments):
        self.weight, self.lr, self.rank, self.gap, self.scale = weight, lr, rank, gap, scale
        self.beta1, self.weight_decay, self.moments = beta1, weight_decay, moments
        self.time, self.row, self.column, self.mean = 0, 0.0, 0.0, 0.0

    def renew(self, gradient):
        new = singular_basis(gradient, self.rank, "right")
        if self.time and self.moments == "rotate":
            turn = self.basis.T @ new
            self.column, self.mean = self.column @ turn**2, self.mean @ turn
        self.basis = nearest(new, self.basis) if self.time and self.moments == "align" else new

    def step(self, gradient):
        if self.time % self.gap == 0:
            self.renew(gradient)
        low = gradient @ self.basis
        self.time += 1
        beta = 1 - self.time**-0.8
        squared = low**2 + 1e-30
        self.row = beta * self.row + (1 - beta) * squared.mean(1, keepdims=True)
        self.column = beta * self.column + (1 - beta) * squared.mean(0, keepdims=True)
        update = low / np.sqrt(self.row * self.column / self.row.mean())
        update = update / max(1.0, rms(update))
        self.mean = self.beta1 * self.mean + (1 - self.beta1) * update
        decay = 1 - self.lr * self.weight_decay
        self.weight = self.weight * decay - self.lr * self.scale * self.mean @ self.basis.T


@settings(max_examples=30, deadline=None)
@given(
    rank=st.integers(1, 3),
    gap=st.integers(1, 4),
    lr=st.floats(1e-4, 1e-1),
    scale=st.sampled_from([0.25, 1.0]),
    beta1=st.sampled_from([0.0, 0.9]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    moments=st.sampled_from(["align", "rotate", "keep"]),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(rank, gap, seed, **options):
    assert_follows(
        lambda p: GaLoreAdafactor([p], rank=rank, update_proj_gap=gap, refresh="exact", **options),
        lambda w: Reference(w, rank=rank, gap=gap, **options),
        (7, 4),
        seed=seed,
        rtol=1e-7,
    )


@pytest.mark.parametrize("proj_type", ["std", "reverse_std", "full"])
@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_keeps_the_projection_and_what_adafactor_keeps_of_a_projected_gradient(proj_type, beta1):
    param = parameter((20, 12), dtype=torch.float32)
    optimizer = GaLoreAdafactor([param], rank=3, proj_type=proj_type, beta1=beta1, update_proj_gap=2, moments="rotate")
    apply(optimizer, param, gradients((20, 12), 4, dtype=torch.float32))
    rows, columns = {"std": (20, 3), "reverse_std": (3, 12), "full": (3, 3)}[proj_type]
    shapes = {key: tuple(value.shape) for key, value in optimizer.state[param].items()}
    assert (shapes["exp_avg_sq_row"], shapes["exp_avg_sq_col"]) == ((rows,), (columns,))
    assert shapes.get("exp_avg") == ((rows, columns) if beta1 else None)


def test_refuses_the_state_of_another_rank():
    param = parameter((10, 6))
    optimizer = GaLoreAdafactor([param], rank=3)
    apply(optimizer, param, gradients((10, 6), 1))
    saved = optimizer.state_dict()
    saved["param_groups"][0]["rank"] = 2
    with pytest.raises(ValueError, match=r"a moment is \[10, 3\], this run needs \[10, 2\]"):
        GaLoreAdafactor([param], rank=2).load_state_dict(saved)
