"""Which of this project's wheels brings a name: for the message when the wheel is not installed."""

from __future__ import annotations

WHEEL_OF: dict[tuple[str, str], str] = {
    ("loss", "alpha_po"): "swift-loss-zoo",
    ("loss", "aot"): "swift-loss-zoo",
    ("loss", "aot_unpaired"): "swift-loss-zoo",
    ("loss", "apo_down"): "swift-loss-zoo",
    ("loss", "apo_zero"): "swift-loss-zoo",
    ("loss", "bco_pair"): "swift-loss-zoo",
    ("loss", "cal_dpo"): "swift-loss-zoo",
    ("loss", "chosen_nll"): "swift-loss-zoo",
    ("loss", "cpo"): "swift-loss-zoo",
    ("loss", "dft"): "swift-loss-zoo",
    ("loss", "discopop"): "swift-loss-zoo",
    ("loss", "dpo"): "swift-loss-zoo",
    ("loss", "dpop"): "swift-loss-zoo",
    ("loss", "exo"): "swift-loss-zoo",
    ("loss", "focal"): "swift-loss-zoo",
    ("loss", "hinge"): "swift-loss-zoo",
    ("loss", "ipo"): "swift-loss-zoo",
    ("loss", "ld_dpo"): "swift-loss-zoo",
    ("loss", "nca"): "swift-loss-zoo",
    ("loss", "odpo"): "swift-loss-zoo",
    ("loss", "orpo"): "swift-loss-zoo",
    ("loss", "r_dpo"): "swift-loss-zoo",
    ("loss", "robust_dpo"): "swift-loss-zoo",
    ("loss", "sigmoid_norm"): "swift-loss-zoo",
    ("loss", "simpo"): "swift-loss-zoo",
    ("loss", "sppo_hard"): "swift-loss-zoo",
    ("loss", "weighted_nll"): "swift-loss-zoo",
    ("loss", "wpo"): "swift-loss-zoo",
    ("optimizer", "galore_adamw"): "swift-optim-zoo",
    ("optimizer", "native_adamw"): "swift-native",
    ("orm", "math"): "swift-reward-zoo",
}
"""(kind, name) -> distribution."""
