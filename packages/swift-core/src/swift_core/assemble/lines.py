"""What it does to a run when rows stand in lines, before a model is loaded: tokens saved, packs, and who cannot.

A line has several rows that the model keeps apart: rows of a pack, or the two answers of a pair behind one prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.assemble.packing import best_fit
from swift_core.errors import Problem, SwiftError
from swift_core.resolve.isolation import why_not_isolated
from swift_core.resolve.model_facts import read_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from swift_core.contracts.data import Record
    from swift_core.contracts.handover import RunPlan

WORTH_IT = 0.1
"""Share of the tokens that must be saved for `train.share_prompt: auto` to share."""

ANSWERS = ("chosen_ids", "rejected_ids")


@dataclass(frozen=True, slots=True)
class Saving:
    """Tokens that the model computes for all pairs, with prompts computed once and twice."""

    num_shared: int
    num_unshared: int

    @property
    def share(self) -> float:
        """Share of the tokens that is saved, in [0, 0.5)."""
        return 1 - self.num_shared / self.num_unshared if self.num_unshared else 0.0

    @property
    def is_worth_it(self) -> bool:
        """Whether `auto` shares."""
        return self.share >= WORTH_IT


def saving(rows: Iterable[dict[str, Any]]) -> Saving:
    """Return what computing each prompt once saves on rows of pairs."""
    shared = unshared = 0
    for row in rows:
        answers = sum(len(row[name]) for name in ANSWERS)
        shared += len(row["prompt_ids"]) + answers
        unshared += 2 * len(row["prompt_ids"]) + answers
    return Saving(shared, unshared)


def refuse_model(plan: RunPlan, folder: Path) -> None:
    """Raise SwiftError where the run file insists on lines and the model's `config.json` says that it cannot."""
    train = plan.settings.train
    reason = why_not_isolated(read_model(folder).config)
    if reason and train.packing:
        raise SwiftError(cannot_pack(plan, reason))
    if reason and train.share_prompt is True:
        raise SwiftError(cannot_share(plan, f"this model cannot: {reason}"))


IMAGES_STAND_ALONE = "rows with images stand alone: the model is given the images of whole rows"


def refuse_images(plan: RunPlan, records: Iterable[Record]) -> None:
    """Raise SwiftError where records have images, and the run file insists on what cannot be done with them."""
    train, teaches = plan.settings.train, plan.procedure.source.declared.get("needs_teacher")
    if not (train.packing or train.share_prompt is True or teaches or plan.parallel.world > 1):
        return
    num_with, num_records = _count_images(records)
    if not num_with:
        return
    problems = []
    if plan.parallel.shards_weights and num_with < num_records:
        message = (
            f"{num_with:,} of {num_records:,} rows have images or sounds, and {plan.parallel.world} processes put the "
            "model's weights together as they go through it: one whose batch has none would not go through that part."
        )
        step = "train on rows with them alone, or write device.parallel_method: ddp"
        problems.append(Problem("mixed-images", message, plan.config.place("data.dataset"), step))
    if train.packing:
        problems.append(cannot_pack(plan, IMAGES_STAND_ALONE))
    if train.share_prompt is True:
        problems.append(cannot_share(plan, IMAGES_STAND_ALONE))
    if teaches:
        stage = plan.procedure.plugin.name
        message = f"stage {stage!r} learns from a teacher, which reads text alone, and the data have images."
        step = "train on images in the stages sft, dpo or kto, or remove the images"
        problems.append(Problem("stage-reads-no-images", message, plan.config.place("train.stage"), step))
    if problems:
        raise SwiftError(problems)


def _count_images(records: Iterable[Record]) -> tuple[int, int]:
    has_images = [bool(record.media) for record in records]
    return sum(has_images), len(has_images)


def cannot_pack(plan: RunPlan, reason: str) -> Problem:
    """Return the problem of a model that cannot keep the rows of a pack apart."""
    message = f"rows cannot be packed for this model: {reason}."
    return Problem("cannot-pack", message, plan.config.place("train.packing"), "remove train.packing")


def cannot_share(plan: RunPlan, reason: str) -> Problem:
    """Return the problem of a prompt that two answers cannot share."""
    message = f"the prompt of a pair cannot be computed once: {reason}."
    place = plan.config.place("train.share_prompt")
    return Problem("cannot-share-prompt", message, place, "write share_prompt: auto, or false")


def sharing_note(plan: RunPlan, rows: Sequence[dict[str, Any]], folder: Path) -> str:
    """Return what `train.share_prompt` will do with these pairs, in words."""
    saved = saving(rows)
    if plan.settings.train.share_prompt is False:
        return f"prompts are computed twice: share_prompt is false; once would save {saved.share:.0%} of the tokens"
    if plan.settings.train.share_prompt == "auto":
        if not saved.is_worth_it:
            return f"prompts are computed twice: once would save {saved.share:.0%} of the tokens"
        if reason := _cannot(plan, folder):
            return f"prompts are computed twice: {reason}"
    return f"prompts are computed once for both answers: it saves {saved.share:.0%} of the tokens"


def _cannot(plan: RunPlan, folder: Path) -> str:
    if plan.settings.model.attn_implementation == "flash_attention_2":
        return "flash attention cannot let two answers see one prompt"
    return why_not_isolated(read_model(folder).config)


def count_packs(plan: RunPlan, rows: Sequence[dict[str, Any]], num_rows: int) -> tuple[int, str]:
    """Return how many packs `num_rows` rows make when these are some or all of them, and what to say of it."""
    room = plan.settings.data.max_length
    lengths = [len(row["input_ids"]) for row in rows]
    packs = best_fit(lengths, room)
    full = sum(lengths) / max(len(packs) * room, 1)
    count = -(-len(packs) * num_rows // max(len(rows), 1))
    about = "" if len(rows) == num_rows else "about "
    return count, f"packed into {about}{count:,} places of {room:,} tokens, {full:.0%} of them filled"
