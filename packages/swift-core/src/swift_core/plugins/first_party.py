"""Which of this project's wheels brings a name: for the message when the wheel is not installed."""

from __future__ import annotations

WHEEL_OF: dict[tuple[str, str], str] = {
    ("loss", "dpo"): "swift-loss-zoo",
    ("loss", "orpo"): "swift-loss-zoo",
    ("loss", "simpo"): "swift-loss-zoo",
    ("optimizer", "galore_adamw"): "swift-optim-zoo",
    ("optimizer", "native_adamw"): "swift-native",
    ("orm", "math"): "swift-reward-zoo",
}
"""(kind, name) -> distribution."""
