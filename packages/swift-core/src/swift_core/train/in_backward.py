"""Update in the backward pass: a parameter moves as soon as its gradient is there, and the gradient is freed.

So the gradients of a model never coexist: LOMO (Lv et al., 2023, arXiv:2306.09782) and the layer-wise update of GaLore
(Zhao et al., 2024, arXiv:2403.03507, sec. 4.3), around any optimizer that moves each parameter by itself. The scale of
the loss is known before the pass. A clip of the global norm is not, and takes a first pass that only measures it, so
that the result is that of clipping as usual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor


class BackwardSteps:
    """Takes an optimizer's steps by hooks on its parameters.

    An optimizer with a method `step_param_alone(param)` is asked for one parameter; of any other `step()` is called
    while a single parameter has a gradient.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, max_grad_norm: float) -> None:
        """Put hooks on the parameters of `optimizer`.

        Args:
            optimizer: It must move each parameter by its own gradient and state alone.
            max_grad_norm: Global norm above which gradients are scaled down; 0 is off and saves a pass.
        """
        self.max_grad_norm = max_grad_norm
        self.norm = torch.zeros(())
        self._step: Any = getattr(optimizer, "step_param_alone", None) or _step_of_all(optimizer)
        self._does: Literal["nothing", "measure", "move"] = "nothing"
        self._factor = 1.0
        self._squares: list[Tensor] = []
        for group in optimizer.param_groups:
            for param in group["params"]:
                param.register_post_accumulate_grad_hook(self._on_gradient)

    def backward(self, loss: Tensor) -> None:
        """Run the backward pass of `loss` and move every parameter in it; `norm` is then the gradient's, unclipped."""
        self._factor = 1.0
        if self.max_grad_norm > 0:
            self._run("measure", loss, retain_graph=True)
            self._factor = min(1.0, self.max_grad_norm / (float(self.norm) + 1e-6))  # as torch's clip_grad_norm_
        self._run("move", loss, retain_graph=False)

    def _run(self, what: Literal["measure", "move"], loss: Tensor, *, retain_graph: bool) -> None:
        self._does, self._squares = what, []
        try:
            loss.backward(retain_graph=retain_graph)
        finally:
            self._does = "nothing"
        if what == "measure" or self.max_grad_norm == 0:
            squares = [square.to(self._squares[0].device) for square in self._squares]
            self.norm = torch.stack(squares).sum().sqrt() if squares else torch.zeros(())

    @torch.no_grad()
    def _on_gradient(self, param: Tensor) -> None:
        grad = param.grad
        if grad is None or self._does == "nothing":
            return
        if self._does == "measure" or self.max_grad_norm == 0:
            self._squares.append(grad.float().norm().square())
        if self._does == "move":
            if self._factor != 1.0:
                grad.mul_(self._factor)
            self._step(param)
        param.grad = None


def _step_of_all(optimizer: torch.optim.Optimizer) -> Any:
    """Return a function of a parameter: the optimizer's whole step, which moves what has a gradient."""

    def step(_: Tensor) -> None:
        optimizer.step()

    return step
