"""Optimizers and schedules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

if TYPE_CHECKING:
    import torch
    from torch.optim.lr_scheduler import LRScheduler


class ParamGroup(TypedDict):
    """One parameter group as core makes it: matrices with decay, biases and norms without."""

    params: list[torch.nn.Parameter]
    param_names: list[str]
    weight_decay: float


class OptimizerFactory(Protocol):
    """A `swift.optimizers` plugin: usually a `torch.optim.Optimizer` subclass.

    Its keyword-only parameters are its options. Core fills those it has of `lr`, `weight_decay`, `betas` and `eps` from
    `train.learning_rate`, `train.weight_decay`, `train.adam_beta1/2` and `train.adam_epsilon` unless
    `train.optimizer_kwargs` gives them. A function `(args, model, dataset) -> (optimizer, scheduler)` is taken too.

    Literal class attributes that core reads: `works_on`, `moves_parameters_alone`, `updates_in_backward`,
    `state_bytes` and `matrix_state_bytes`. `works_on` says what of a parameter a step must see, so that engines which
    share parameters out among processes are refused where they cannot give it:

    - `"elements"`: every element moves by its own gradient and state; any piece will do, a DTensor or a flat one.
    - `"memory"`: the same, reading plain memory by its address; of a DTensor it takes the local shard by itself.
    - `"tensors"`: norms, means or blocks of a whole parameter.
    - `"matrices"`: whole matrices in their shape.

    One that does not say is not run on pieces. `puts_weights` says that `eval()` puts other weights into the parameters
    than are trained; it is read of callbacks too. A method `metrics() -> dict[str, float]` of the optimizer is logged
    with the loss. A method `clip_next_step(max_norm) -> norm` returns the global norm of the gradients and scales them
    inside the next step: it takes the place of a pass over them. `needs_package_on_gpu = "bitsandbytes"` names a
    package without which a run on a GPU is refused before it begins; `takes_package_on_cpu = "swift_native"` names one
    that takes the steps on a CPU where it is installed, and `swift plan` says whether it is.
    """

    def __call__(self, params: Iterable[ParamGroup], /, **options: Any) -> torch.optim.Optimizer:
        """Build the optimizer."""


class SchedulerFactory(Protocol):
    """A `swift.schedulers` plugin: built from its options, then called with the optimizer.

    What it returns may have a method `observe(figures)`: it is told the figures of each evaluation while training, as
    `{"eval_loss": 1.2}`, and raises ValueError when the one that it needs is not among them.
    """

    def __call__(
        self, optimizer: torch.optim.Optimizer, /, *, num_warmup_steps: int, num_training_steps: int
    ) -> LRScheduler:
        """Build the schedule."""
