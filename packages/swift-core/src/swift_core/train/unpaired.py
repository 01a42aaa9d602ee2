"""Stage `kto`, and every loss on labelled completions: a prompt with one answer that is wanted or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from swift_core.contracts.loss import UnpairedOutputs
from swift_core.train.reference import mismatched_rows
from swift_core.train.referenced import Referenced
from swift_core.train.statistics import kept_random_numbers
from swift_core.train.trainer import Batch

if TYPE_CHECKING:
    from collections.abc import Callable


class Unpaired(Referenced):
    """Training on completions that are wanted or not, with a reference model where the loss reads one."""

    feeds: ClassVar[str] = "UnpairedOutputs"
    rows: ClassVar[str] = "unpaired"
    default_loss: ClassVar[str] = "kto"

    def count_items(self, batch: Batch) -> Tensor:
        """Return the number of rows."""
        return torch.tensor(len(batch["desirable"]))

    def make_outputs(self, model: nn.Module, batch: Batch) -> UnpairedOutputs:
        """Return the lazy outputs on labelled completions."""
        tokens, known = self.scored(model, batch, ahead="reference_logps" in self.coupling.known_next)
        values: dict[str, Callable[[], Tensor]] = {
            "logps": lambda: tokens.row_sums(tokens.logps),
            "lengths": tokens.row_counts,
            "token_logps": lambda: tokens.padded(tokens.logps),
            "desirable": lambda: batch["desirable"],
        }
        if known is not None:
            values["reference_logps"] = lambda: tokens.row_sums(known())
            values["reference_token_logps"] = lambda: tokens.padded(known())
        return UnpairedOutputs(values | self._mismatched(model, batch))

    def _mismatched(self, model: nn.Module, batch: Batch) -> dict[str, Callable[[], Tensor]]:
        """Return what is known of completions to other prompts; the models run when it is read, without gradient."""
        rows = mismatched_rows(batch)
        if not rows:
            return {}
        tokens, known = self.scored(model, rows, reader="kl")

        @torch.no_grad()
        def own() -> Tensor:
            with kept_random_numbers(rows["input_ids"].device):
                return tokens.row_sums(tokens.logps)

        if known is None:
            return {"kl_logps": own}
        return {"kl_logps": own, "reference_kl_logps": torch.no_grad()(lambda: tokens.row_sums(known()))}

    def derived(self, means: dict[str, float]) -> dict[str, float]:
        """Return the means with the reward margin between wanted and unwanted completions."""
        if {"reward_desirable", "reward_undesirable"} <= means.keys():
            means["reward_margin"] = means["reward_desirable"] - means["reward_undesirable"]
        return means
