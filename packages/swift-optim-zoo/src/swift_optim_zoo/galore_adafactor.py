"""GaLore with Adafactor: of the projected gradient only row and column means of squares are kept.

    every update_proj_gap steps:  Q = leading singular vectors of G
    R  = G Q                                   (or Q^T G, whichever is smaller; proj_type full: P^T G Q)
    u  = R / sqrt(V),  V factored as in Adafactor, of R^2 + eps, decay 1 - t^decay_rate
    d  = lr * u / max(1, rms(u) / clip_threshold)                            (beta1 > 0: the running mean of these)
    p <- p * (1 - lr * weight_decay) - scale * d Q^T

Zhao et al., 2024, arXiv:2403.03507, alg. 1 around Adafactor (Shazeer and Stern, 2018, arXiv:1804.04235, alg. 4).
Parameters that are not projected (embeddings, output head, norms, biases) take Adafactor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from swift_core.plugin_api import require_between, require_positive
from swift_optim_zoo._base import Group, State, next_step, options_in, zeros_in
from swift_optim_zoo._factored import clip_update_, scaled_gradient
from swift_optim_zoo._galore import GaLoreOptimizer, Move
from swift_optim_zoo._low_rank import check_shape, decay_factor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from swift_optim_zoo._turn import Turn


class GaLoreAdafactor(GaLoreOptimizer):
    """GaLore around Adafactor; the projection is nearly all the memory it needs.

    Its options are those of `GaLoreOptimizer`, and these:

    Args:
        eps: Added to squared gradients, >= 0.
        clip_threshold: Largest root mean square of a projected update before it is scaled down, > 0.
        decay_rate: Power of the step in the second moment's decay, in [-1, 0).
        beta1: Decay of a first moment, in [0, 1); 0 keeps none and saves its memory.
        rank: Rank of the projection, >= 1; a matrix with a shorter side takes plain Adafactor.
    """

    label = "galore_adafactor"

    state_bytes: ClassVar[str] = "4 * size + (4 * size if beta1 else 0)"
    other_matrix_state_bytes: ClassVar[str] = "4 * (rows + columns) + (4 * size if beta1 else 0)"
    matrix_state_bytes: ClassVar[str] = (
        "4 * (basis_size + rank + moment_size / rank) + gap_bytes + (4 * moment_size if beta1 else 0)"
    )

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        eps: float = 1e-30,
        clip_threshold: float = 1.0,
        decay_rate: float = -0.8,
        beta1: float = 0.0,
        weight_decay: float = 0.0,
        rank: int = 128,
        update_proj_gap: int = 200,
        scale: float = 0.25,
        proj_type: Literal["std", "reverse_std", "right", "left", "full"] = "std",
        refresh: Literal["subspace", "exact"] = "subspace",
        first_basis: Literal["auto", "exact", "random"] = "auto",
        moments: Literal["align", "rotate", "reset", "keep"] = "align",
        stagger: bool = True,
        adaptive_gap: bool = False,
        cos_threshold: float = 0.4,
        gap_growth: float = 2.0,
        gap_window: int = 5,
        products: Literal["auto", "float32", "bfloat16"] = "auto",
        target_modules: tuple[str, ...] = ("*",),
        exclude_modules: tuple[str, ...] = ("embed", "lm_head", "wte", "wpe", "norm"),
    ) -> None:
        super().__init__(params, options_in(locals()))

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        GaLoreOptimizer.check_options(options)
        require_positive(clip_threshold=options["clip_threshold"])
        require_between(0.0, 1.0, beta1=options["beta1"])
        require_between(-1.0, 0.0, decay_rate=options["decay_rate"])

    def direction_(self, low_rank: Tensor, state: State, group: Group) -> Tensor:
        """Update what is kept and return Adafactor's move, its length included, as a new tensor."""
        return _move(low_rank, state, group)

    def plain(self, weights: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """Move a parameter that is not projected, by Adafactor."""
        decay = decay_factor(group)
        weights.mul_(decay).sub_(_move(grad, state, group))

    def move(self, move: Move) -> None:
        """Take the step; its decay comes first, as Adafactor has it."""
        step = self.direction_(move.low_rank, move.state, move.group)
        move.projection.add_back_(move.weights, step, alpha=-move.group["scale"], decay=decay_factor(move.group))

    def turn(self, state: State, turn: Turn) -> None:
        """Express the moments in new bases."""
        if turn.left is not None:
            state["exp_avg_sq_row"] = turn.left.square().T @ state["exp_avg_sq_row"]
        if turn.right is not None:
            state["exp_avg_sq_col"] = turn.right.square().T @ state["exp_avg_sq_col"]
        if "exp_avg" in state:
            state["exp_avg"] = turn.mean(state["exp_avg"])

    def forget(self, state: State) -> None:
        """Set the moments to zero."""
        for name in ("exp_avg_sq_row", "exp_avg_sq_col", "exp_avg"):
            if name in state:
                state[name].zero_()

    def check_saved(self, state: State, shape: tuple[int, ...]) -> None:
        """Raise ValueError when the moments in a saved `state` are not of `shape`."""
        if "exp_avg_sq_row" in state:
            check_shape((*state["exp_avg_sq_row"].shape, *state["exp_avg_sq_col"].shape), shape)


def _move(grad: Tensor, state: State, group: Group) -> Tensor:
    """Update the moments and return what is taken off the weights."""
    step = next_step(state) - int(state.get("reset_at", 0))
    change = scaled_gradient(grad, state, beta=1 - step ** group["decay_rate"], eps=group["eps"])
    clip_update_(change, group["clip_threshold"])
    change.mul_(float(group["lr"]))
    if group["beta1"]:
        change = zeros_in(state, "exp_avg", change).lerp_(change, 1 - group["beta1"])
    return change
