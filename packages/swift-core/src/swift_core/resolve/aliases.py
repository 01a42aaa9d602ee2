"""Names of losses that users bring from other programs. `swift plan` shows what they mean here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift_core.resolve.parts import PartFinder

LOSS_ALIASES = {
    "alphapo": "alpha_po",
    "chunked_nll": "cross_entropy",
    "exo_pair": "exo",
    "mpo": "mixture",
    "nca_pair": "nca",
    "nll": "cross_entropy",
    "reinforce++": "reinforce_plus_plus",
    "robust": "robust_dpo",
    "sft": "chosen_nll",
    "sigmoid": "dpo",
    "tpo-l": "tpo_l",
}
"""Name elsewhere -> name of the loss here."""


FAMILY_ALIASES = {
    "ClassOutputs": {
        "bce": "class_cross_entropy",
        "cross_entropy": "class_cross_entropy",
        "focal": "class_focal",
        "mse": "class_squared_error",
    },
    "ScoreOutputs": {"bradley_terry": "reward_model"},
    "StepOutputs": {"cross_entropy": "prm"},
}
"""Family that a stage feeds -> what a name means in such a stage, where the loss of that name is one on tokens."""

STAGE_ALIASES = {
    ("cpo", "sigmoid"): "cpo",
    ("cpo", "simpo"): "simpo",
    ("orpo", "sigmoid"): "orpo",
    ("tpo", "sigmoid"): "tpo",
    ("tpo", "tpo-l"): "tpo_l",
}
"""Stage that is named after a loss, name elsewhere -> name of the loss here."""

STAGE_OPTIONS = {
    ("cpo", "hinge"): "preference: hinge",
    ("cpo", "ipo"): "preference: ipo",
    ("tpo", "hinge"): "preference: hinge",
    ("tpo", "ipo"): "preference: ipo",
}
"""Stage that is named after a loss, name elsewhere -> option of that loss which it is here."""

_EMBEDDINGS = "it trains embeddings or rerankers, and no stage here does"
_DECISIONS = "it trains decisions over ordered options, and no stage here does"
_JUDGED = "it judges its own samples by a rule of its own; train.stage: online_dpo makes pairs of them by their rewards"

REFUSED = {
    "a2po": "it needs the values of prompts, computed before training, and no stage here does that",
    "ce_rps": _DECISIONS,
    "contrastive": _EMBEDDINGS,
    "cosine_similarity": _EMBEDDINGS,
    "decision": _DECISIONS,
    "distill_rps": _DECISIONS,
    "embedding": _EMBEDDINGS,
    "fipo": "it is in no published paper with code to check it against",
    "generative_reranker": _EMBEDDINGS,
    "gold": "it distils across tokenizers, and teacher and student have one vocabulary here: see stage gkd",
    "infonce": _EMBEDDINGS,
    "listwise_reranker": _EMBEDDINGS,
    "loss_scale": "weights of tokens are train.loss_scale here, and losses on tokens heed them",
    "nash_md": _JUDGED,
    "online_contrastive": _EMBEDDINGS,
    "pointwise_reranker": _EMBEDDINGS,
    "real": "it is in no published paper with code to check it against",
    "reranker": _EMBEDDINGS,
    "rlhf": "it is a family: name the stage, such as dpo, kto, rm or grpo",
    "rpo": "it is a mixture: train.stage: mixture, with the losses dpo and chosen_nll",
    "scoring": _EMBEDDINGS,
    "smooth_brier": _DECISIONS,
    "xpo": _JUDGED,
}
"""Names elsewhere that mean nothing here, and why."""


def refuse(finder: PartFinder, key: str, name: str, *, stage: str = "") -> bool:
    """Keep a problem where `name` at `key` is no loss or stage here and it is known why; say whether it was.

    Args:
        finder: Knows what is installed: a plugin of that name is never refused.
        key: `train.stage` or `train.loss_type`.
        name: As written.
        stage: The loss that the stage is named after.
    """
    if option := STAGE_OPTIONS.get((stage, name)):
        message = f"{name} is an option of {stage} here, and not a loss beside it"
        finder.findings.wrong("not-here", message, key, f"write train.loss_kwargs: {{{option}}}")
        return True
    kinds = ("loss", "trainer")
    if name not in REFUSED or any(spec.name == name for kind in kinds for spec in finder.registry.specs(kind)):
        return False
    next_step = f"swift plugins list --kind {'trainer' if key == 'train.stage' else 'loss'}"
    finder.findings.wrong("not-here", f"{name!r} is not here: {REFUSED[name]}", key, next_step)
    return True


def loss_of_stage(finder: PartFinder, stage: str, name: str) -> str:
    """Return what `name` at `train.loss_type` means in a stage that is itself named after a loss; empty: nothing."""
    meant = STAGE_ALIASES.get((stage, name), "")
    if meant:
        finder.findings.note(f"train.loss_type: {name} in stage {stage} means {meant}")
    return meant


def loss_meant(finder: PartFinder, key: str, name: str, feeds: str = "") -> str:
    """Return the name that `name` at `key` means in a stage that feeds `feeds`. Keeps a note.

    An installed loss of that very name comes first, but for a first-party one that cannot be meant in that stage.
    """
    in_stage = FAMILY_ALIASES.get(feeds, {}).get(name)
    meant = in_stage or LOSS_ALIASES.get(name)
    named = [spec for spec in finder.registry.specs("loss") if spec.name == name]
    if meant is None or any(not (spec.first_party and in_stage) for spec in named):
        return name
    if key:
        finder.findings.note(f"{key}: {name} means {meant}")
    return meant
