"""Focal loss on tokens: tokens that the model already predicts well count less.

    loss[i] = -(1 - p(y[i]))^gamma * log p(y[i])

Lin et al., 2017, arXiv:1708.02002, eq. 4.
"""

from dataclasses import dataclass

from swift_core.plugin_api import LossOutput, TokenOutputs, require_nonnegative


@dataclass(frozen=True, slots=True, kw_only=True)
class FocalTokens:
    """Cross entropy that turns to the tokens still predicted badly."""

    gamma: float = 2.0
    """How fast a well predicted token loses weight, >= 0; 0 is plain cross entropy."""

    def __post_init__(self) -> None:
        require_nonnegative(gamma=self.gamma)

    def __call__(self, tokens: TokenOutputs) -> LossOutput:
        """Return one loss per trained token."""
        doubt = -tokens.logps.expm1()  # 1 - p, exact for p near 1
        losses = -(doubt.clamp(min=1e-6) ** self.gamma) * tokens.logps
        return LossOutput(losses, weights=tokens.weights, metrics={"doubt": doubt.detach()})
