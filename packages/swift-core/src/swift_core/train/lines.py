"""The decision whether a run's rows stand in lines of segments: `train.packing` and `train.share_prompt`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from transformers import TrainerCallback

from swift_core.assemble.device_map import home_of
from swift_core.assemble.lines import IMAGES_STAND_ALONE, cannot_pack, cannot_share, saving
from swift_core.errors import SwiftError
from swift_core.resolve.isolation import why_not_isolated
from swift_core.train.isolation import Isolation, find_isolation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

    from swift_core.contracts.handover import Parts
    from swift_core.train.forward import OutputHead


def isolation_of(parts: Parts, rows: str, model: PreTrainedModel, head: OutputHead) -> Isolation | None:
    """Return how `model`, the policy or its reference, runs over segments in this run; None: over padded rows.

    Args:
        parts: The run. Its facts are told what was decided.
        rows: Kind of the procedure's rows.
        model: A model whose attention may be set.
        head: Its head.

    Raises:
        SwiftError: The run file insists, and the model cannot.
    """
    train = parts.plan.settings.train
    if rows == "tokens" and train.packing:
        return _packing(parts, model, head)
    if rows == "pairs" and train.share_prompt is not False:
        return _sharing(parts, model, head)
    return None


def _packing(parts: Parts, model: PreTrainedModel, head: OutputHead) -> Isolation:
    found = _found(parts, model, head, shares=False)
    if isinstance(found, str):
        raise SwiftError(cannot_pack(parts.plan, found))
    return found


def _sharing(parts: Parts, model: PreTrainedModel, head: OutputHead) -> Isolation | None:
    asked, saved = parts.plan.settings.train.share_prompt, saving(parts.train_dataset)
    if parts.facts.get("rows_with_media"):
        parts.facts["share_prompt"] = f"no: {IMAGES_STAND_ALONE}"
        return None
    if asked == "auto" and not saved.is_worth_it:
        parts.facts["share_prompt"] = f"no: it would save {saved.share:.0%} of the tokens"
        return None
    found = _found(parts, model, head, shares=True)
    who = "the reference model" if model is parts.reference else "this model"
    if isinstance(found, Isolation):
        parts.facts.setdefault("share_prompt", f"yes: it saves {saved.share:.0%} of the tokens")
        return found
    reason = f"{who} cannot: {found}"
    if asked is True:
        raise SwiftError(cannot_share(parts.plan, reason))
    parts.facts["share_prompt" if model is parts.model else "share_prompt_reference"] = f"no: {reason}"
    Console(stderr=True).print(f"prompts are not shared: {reason}", markup=False, highlight=False, soft_wrap=True)
    return None


def _found(parts: Parts, model: PreTrainedModel, head: OutputHead, *, shares: bool) -> Isolation | str:
    if model is parts.model and getattr(parts.tuner, "adds_tokens", False):
        return f"the tuner {parts.plan.tuner.plugin.name!r} puts tokens of its own before each row"
    if reason := why_not_isolated(model.config.to_dict()):
        return reason
    batch = {name: value.to(home_of(model)) for name, value in parts.collator(_hardest(parts.train_dataset)).items()}
    return find_isolation(model, head, batch, shares=shares)


def _hardest(items: Sequence[Any]) -> list[Any]:
    """Return the longest row and another one: two pairs, or one pack of two rows."""
    packs = isinstance(items[0], list)
    rows = [row for item in items for row in item] if packs else items
    longest = max(range(len(rows)), key=lambda index: _num_tokens(rows[index]))
    chosen = [rows[longest], rows[0 if longest else -1]]
    return [chosen] if packs else chosen


def _num_tokens(row: dict[str, Any]) -> int:
    """Return the tokens of a row's longest sequence."""
    if "input_ids" in row:
        return len(row["input_ids"])
    return len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))


class Epochs(TrainerCallback):
    """Tells a data set that deals its rows anew each epoch which epoch begins, also after a resume."""

    def __init__(self, dataset: Any) -> None:
        """Take the data set; one without `set_epoch` is left alone."""
        self._set_epoch = getattr(dataset, "set_epoch", None)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Pass the number of the epoch on."""
        if self._set_epoch is not None:
            self._set_epoch(int(state.epoch or 0))
