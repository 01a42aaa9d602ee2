"""Prompt tuning: a few trained embeddings before every row; the model itself stays frozen.

    p(y | x) = model(y | [P; E(x)])           P: [num_virtual_tokens, hidden], trained

Lester et al., 2021, arXiv:2104.08691, section 2. On peft. The reference is the model without P.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from swift_core.builtins.tuners._adapter import Adapter
from swift_core.builtins.tuners._virtual import EXCLUDED, VirtualTokens, without_virtual_logits
from swift_core.contracts.checks import require_positive

if TYPE_CHECKING:
    from peft import PromptTuningConfig
    from transformers import PreTrainedModel


@dataclass(frozen=True, kw_only=True)
class Prompt(VirtualTokens, Adapter):
    """Train embeddings that stand before every row; take a learning rate of 1e-2 to 0.3."""

    num_virtual_tokens: int = 20
    """Embeddings, >= 1; each makes every row one token longer than data.max_length counts."""

    init_text: str = ""
    """Text whose embeddings they begin as, repeated or cut to their number; empty draws them."""

    peft_type: ClassVar[str] = "PROMPT_TUNING"
    module_options: ClassVar[tuple[str, ...]] = ()
    said_by_adapter: ClassVar[dict[str, str]] = {"num_virtual_tokens": "num_virtual_tokens"}
    excludes: ClassVar[dict[str, str]] = EXCLUDED

    def __post_init__(self) -> None:
        require_positive(num_virtual_tokens=self.num_virtual_tokens)
        super().__post_init__()

    def config(self, model: PreTrainedModel) -> PromptTuningConfig:
        """Return peft's settings of a new adapter."""
        import peft

        text: dict[str, Any] = {
            "prompt_tuning_init": "TEXT",
            "prompt_tuning_init_text": self.init_text,
            "tokenizer_name_or_path": model.name_or_path,
        }
        return peft.PromptTuningConfig(
            task_type="CAUSAL_LM", num_virtual_tokens=self.num_virtual_tokens, **(text if self.init_text else {})
        )

    def settled(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return `model`, whose output head reads the real tokens alone."""
        config = cast("Any", model).peft_config["default"]
        return without_virtual_logits(model, int(config.num_virtual_tokens))
