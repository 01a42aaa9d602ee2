"""Stage `ppo`: a value function on the policy's hidden states says what to expect before each token.

Schulman et al., 2017, arXiv:1707.06347, for answers as in Ziegler et al., 2019, arXiv:1909.08593. The value function is
one row of weights in float32, zero at first; it is trained with the model and kept in checkpoints, not in the result.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerCallback

from swift_core.assemble.device_map import home_of
from swift_core.train.outputs import ScoredTokens
from swift_core.train.policy.gae import generalised, token_rewards, whitened
from swift_core.train.policy.procedure import Policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.handover import Parts
    from swift_core.contracts.loss import PolicyOutputs
    from swift_core.train.policy.samples import Sample
    from swift_core.train.trainer import Batch

FILE = "value_head.safetensors"


class ProximalPolicy(Policy):
    """Train on rewards with a learned value function; the reference's pull is a part of each token's reward."""

    feeds: ClassVar[str] = "PolicyOutputs"
    rows: ClassVar[str] = "prompts"
    default_loss: ClassVar[str] = "ppo"
    samples: ClassVar[bool] = True
    needs_reference: ClassVar[bool] = True
    puts_weights: ClassVar[bool] = True

    def __init__(self, parts: Parts) -> None:
        """Take the live parts of a run, and give the model a value function."""
        hidden = parts.model.config.get_text_config().hidden_size
        self.value_head = nn.Linear(hidden, 1, dtype=torch.float32, device=home_of(parts.model))
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)
        self.value_head.stays_here = True  # type: ignore[assignment]  # no engine is given it
        parts.model.add_module("value_head", self.value_head)
        super().__init__(parts)
        self.add_callback(_KeepValueHead(parts, self.value_head))

    def _compare(self, groups: Sequence[Sequence[Sample]]) -> None:
        """Leave the answers' advantages alone: those of their tokens follow from the value function."""

    def _keep_old_logps(self, batches: Sequence[dict[str, Any]]) -> None:
        """Leave it to `_estimate`, which needs more of the same pass."""

    def training_batches(self, batches: Sequence[Any], groups: Sequence[Sequence[Sample]]) -> list[dict[str, Any]]:
        """Return the answers with what the value function expected of each token."""
        made = super().training_batches(batches, groups)
        samples = iter([sample for group in groups for sample in group])
        for batch in made:
            totals = [next(samples).total(self.rollouts.weights) for _ in range(len(batch["labels"]))]
            batch["totals"] = torch.tensor(totals, dtype=torch.float32, device=batch["labels"].device)
        self._estimate(made)
        return made

    @torch.no_grad()
    def _estimate(self, batches: Sequence[dict[str, Any]]) -> None:
        """Add old_logps, old_values, returns and advantages, [row, time], under the weights that drew the answers."""
        settings = self.parts.plan.settings.rollout
        assert self.reference is not None  # the procedure declares that it needs one
        self.module.eval()
        for batch in batches:
            tokens = ScoredTokens(self.head, self.module, batch, reader="old")
            batch["old_logps"], batch["old_values"] = tokens.padded(tokens.logps), self._values(tokens)
            batch["mask"] = tokens.padded(torch.ones_like(tokens.labels)).bool()
            reference = tokens.padded(self.reference.on(batch)())
            self._since_log.add_values({"kl": (batch["old_logps"] - reference).sum(1)})
            rewards = token_rewards(
                batch["totals"], batch["old_logps"], reference, batch["mask"], kl_coef=settings.kl_coef
            )
            batch["advantages"] = generalised(
                rewards, batch["old_values"], batch["mask"], gamma=settings.gamma, lam=settings.lam
            )
            batch["returns"] = batch["advantages"] + batch["old_values"]
        self.module.train()
        white = whitened([b["advantages"] for b in batches], [b["mask"] for b in batches], self.reduce_cpu)
        for batch, advantages in zip(batches, white, strict=True):
            batch["advantages"] = advantages

    def _values(self, tokens: ScoredTokens) -> Tensor:
        return tokens.padded(self.value_head(tokens.hidden.float()).squeeze(-1))

    def make_outputs(self, model: nn.Module, batch: Batch) -> PolicyOutputs:
        """Return the lazy outputs with the value function's; the reference is in the advantages, and does not run."""
        tokens = ScoredTokens(self.head, model, batch)
        return self.outputs_of(tokens, None, batch).extended(
            {
                "advantages": lambda: batch["advantages"],
                "values": lambda: self._values(tokens),
                "old_values": lambda: batch["old_values"],
                "returns": lambda: batch["returns"],
            }
        )


class _KeepValueHead(TrainerCallback):
    """Keeps the value function in every checkpoint, and takes it off the model when training ends."""

    def __init__(self, parts: Parts, head: nn.Linear) -> None:
        self._parts, self._head = parts, head

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Go on with the value function of the checkpoint."""
        if self._parts.resume_from is not None:
            self._head.load_state_dict(load_file(Path(self._parts.resume_from) / FILE))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write it beside the checkpoint's weights."""
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            save_file({name: value.contiguous() for name, value in self._head.state_dict().items()}, folder / FILE)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave the model as it is saved: without a value function."""
        del self._parts.model.value_head
