"""Prefix tuning: trained keys and values before those of every row, in each layer; the model stays frozen.

    attention(q, [P_k; K], [P_v; V])          P_k, P_v: [layer, num_virtual_tokens, key width], trained

Li and Liang, 2021, arXiv:2101.00190, section 4.2. On peft. The reference is the model without them. They are trained
directly: of the network that may make them (section 4.3) peft keeps the result alone, and no run could go on from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from swift_core.builtins.tuners._adapter import Adapter
from swift_core.builtins.tuners._virtual import EXCLUDED_BY_PREFIX, VirtualTokens
from swift_core.contracts.checks import require_positive

if TYPE_CHECKING:
    from peft import PrefixTuningConfig
    from transformers import PreTrainedModel


@dataclass(frozen=True, kw_only=True)
class Prefix(VirtualTokens, Adapter):
    """Train keys and values that every row attends to; take a learning rate of 1e-3 to 1e-1."""

    num_virtual_tokens: int = 20
    """Keys and values in each layer, >= 1."""

    peft_type: ClassVar[str] = "PREFIX_TUNING"
    module_options: ClassVar[tuple[str, ...]] = ()
    said_by_adapter: ClassVar[dict[str, str]] = {"num_virtual_tokens": "num_virtual_tokens"}
    excludes: ClassVar[dict[str, str]] = EXCLUDED_BY_PREFIX

    def __post_init__(self) -> None:
        require_positive(num_virtual_tokens=self.num_virtual_tokens)
        super().__post_init__()

    def config(self, model: PreTrainedModel) -> PrefixTuningConfig:
        """Return peft's settings of a new adapter."""
        import peft

        return peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=self.num_virtual_tokens)
