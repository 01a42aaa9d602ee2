"""From a plan to live objects: model, tuner, data, loss, optimizer, callbacks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from swift_core.contracts.handover import Parts, RewardPart, RunPlan


def assemble(plan: RunPlan, directory: Path, *, resume: Path | None = None) -> Parts:
    """Return the live parts of `plan`, cheapest first, so that a broken part stops the run before a model is loaded.

    Args:
        plan: What to build.
        directory: The run directory.
        resume: The checkpoint to go on from; None starts at the beginning.
    """
    import torch
    import transformers

    from swift_core.assemble.callbacks import build_callbacks
    from swift_core.assemble.collate import PairCollator, TokenCollator
    from swift_core.assemble.data.load import load_data
    from swift_core.assemble.encoder import HfEncoder
    from swift_core.assemble.model import load_model, load_reference
    from swift_core.assemble.optimizer import build_optimizer, build_scheduler
    from swift_core.cache import cache_dir
    from swift_core.contracts.handover import Parts

    transformers.set_seed(plan.settings.train.seed)
    procedure, loss, tuner = plan.load(plan.procedure), plan.create(plan.loss), plan.create(plan.tuner)
    metrics = [(part.plugin.name, plan.create(part)) for part in plan.metrics]
    rewards, callbacks, hooks = build_rewards(plan), build_callbacks(plan), build_hooks(plan)
    for part in (plan.optimizer, plan.scheduler):
        plan.load(part)

    base, tokenizer = load_model(plan)
    encoder = HfEncoder(tokenizer, plan.settings.model.chat_template_kwargs)
    data = load_data(plan, encoder)
    reference = load_reference(plan, base) if getattr(loss, "needs_reference", False) else None
    torch.manual_seed(plan.settings.train.seed)
    model = tuner.prepare_model(base)
    collators: dict[str, Any] = {"tokens": TokenCollator, "pairs": PairCollator}
    return Parts(
        plan=plan,
        directory=directory,
        cache=cache_dir(),
        model=model,
        tokenizer=tokenizer,
        encoder=encoder,
        tuner=tuner,
        procedure=procedure,
        loss=loss,
        reference=reference,
        train_dataset=data.train,
        eval_dataset=data.eval,
        eval_records=data.eval_records,
        collator=collators[procedure.rows](encoder.pad_token_id),
        make_optimizer=partial(build_optimizer, plan),
        make_scheduler=partial(build_scheduler, plan),
        metrics=metrics,
        rewards=rewards,
        callbacks=callbacks,
        hooks=hooks,
        facts=dict(data.facts),
        resume_from=resume,
    )


def build_rewards(plan: RunPlan) -> list[RewardPart]:
    """Return the rewards of the run file, each under a name of its own."""
    from swift_core.assemble.rewards import adapt_reward
    from swift_core.contracts.handover import RewardPart

    names = [part.plugin.name for part in plan.orms]
    return [
        RewardPart(
            name=(name := part.plugin.name if names.count(part.plugin.name) == 1 else f"{part.plugin.name}_{index}"),
            weight=part.weight,
            score=adapt_reward(name, plan.create(part)),
        )
        for index, part in enumerate(plan.orms)
    ]


def build_hooks(plan: RunPlan) -> Any:
    """Return a plugin manager that calls the enabled `swift.hooks` plugins."""
    from swift_core.plugins.hooks import manager

    return manager(plan.load(part) for part in plan.hooks)
