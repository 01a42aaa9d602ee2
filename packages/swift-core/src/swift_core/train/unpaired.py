"""Stage `kto`, and every loss on labelled completions: a prompt with one answer that is wanted or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from swift_core.contracts.loss import UnpairedOutputs
from swift_core.train.outputs import ScoredTokens
from swift_core.train.reference import Reference, reference_of
from swift_core.train.reference_updates import ReferenceUpdates
from swift_core.train.statistics import kept_random_numbers
from swift_core.train.trainer import Batch, SwiftTrainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from swift_core.contracts.handover import Parts


class Unpaired(SwiftTrainer):
    """Training on completions that are wanted or not, with a reference model where the loss reads one."""

    feeds: ClassVar[str] = "UnpairedOutputs"
    rows: ClassVar[str] = "unpaired"
    default_loss: ClassVar[str] = "kto"

    def __init__(self, parts: Parts) -> None:
        """Take the live parts of a run, and the reference its loss needs."""
        super().__init__(parts)
        self.reference: Reference | None = reference_of(parts, self.head)
        if parts.plan.settings.train.sync_ref_model:
            self.add_callback(ReferenceUpdates(parts))

    def count_items(self, batch: Batch) -> Tensor:
        """Return the number of rows."""
        return torch.tensor(len(batch["desirable"]))

    def make_outputs(self, model: nn.Module, batch: Batch) -> UnpairedOutputs:
        """Return the lazy outputs on labelled completions."""
        tokens = ScoredTokens(self.head, model, batch)
        values: dict[str, Callable[[], Tensor]] = {
            "logps": lambda: tokens.row_sums(tokens.logps),
            "lengths": tokens.row_counts,
            "token_logps": lambda: tokens.padded(tokens.logps),
            "desirable": lambda: batch["desirable"],
        }
        if self.reference is not None:
            known = self.reference.on(batch)
            values["reference_logps"] = lambda: tokens.row_sums(known())
            values["reference_token_logps"] = lambda: tokens.padded(known())
        return UnpairedOutputs(values | self._mismatched(model, batch))

    def _mismatched(self, model: nn.Module, batch: Batch) -> dict[str, Callable[[], Tensor]]:
        """Return what is known of completions to other prompts; each model runs when it is read, without gradient."""
        if "kl_input_ids" not in batch:
            return {}
        rows = {name.removeprefix("kl_"): value for name, value in batch.items() if name.startswith("kl_")}
        tokens = ScoredTokens(self.head, model, rows)

        @torch.no_grad()
        def own() -> Tensor:
            with kept_random_numbers(rows["input_ids"].device):
                return tokens.row_sums(tokens.logps)

        if self.reference is None:
            return {"kl_logps": own}
        known = self.reference.on(rows)
        return {"kl_logps": own, "reference_kl_logps": lambda: tokens.row_sums(known())}

    def derived(self, means: dict[str, float]) -> dict[str, float]:
        """Return the means with the reward margin between wanted and unwanted completions."""
        if {"reward_desirable", "reward_undesirable"} <= means.keys():
            means["reward_margin"] = means["reward_desirable"] - means["reward_undesirable"]
        return means
