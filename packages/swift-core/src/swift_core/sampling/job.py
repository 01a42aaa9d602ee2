"""Draw, score, keep: one batch of prompts at a time."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from swift_core.errors import Problem, SwiftError
from swift_core.sampling.choose import best_of_n, majority
from swift_core.sampling.output import Choice, candidates_of, rows_of
from swift_core.sampling.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from swift_core.contracts.handover import RunPlan
    from swift_core.train.policy.samples import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to draw and where it goes."""

    output: Path
    choice: Choice
    batch_size: int = 8
    """Prompts drawn together."""

    shard: tuple[int, int] = (0, 1)
    """Which share of the prompts this process takes: every `shard[1]`-th, from `shard[0]` on."""

    @property
    def unfinished(self) -> Path:
        """Where answers wait until all are drawn."""
        return self.output.with_name(f"{self.output.name}.part")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What came of it."""

    num_prompts: int
    num_kept: int
    num_answers: int
    num_tokens: int
    seconds: float
    figures: dict[str, float]
    """Mean rewards: of the first answer, of all, of the best of n, of what most say."""


def run_job(plan: RunPlan, job: Job, report: Callable[[int, int], None]) -> Summary:
    """Draw answers to the prompts of `plan`, and write what is kept.

    Args:
        plan: Model, data, rewards and engine.
        job: What is kept and where.
        report: Called with (prompts done, prompts in all) after each batch.

    Raises:
        SwiftError: Something of the plan cannot be used, or the output belongs to something else.
    """
    if job.output.exists():
        message = f"{job.output} exists already; nothing is written over."
        raise SwiftError(Problem("output-exists", message, None, "delete it, or give another --output"))
    start = time.monotonic()
    sampler = _Sampler(plan)
    rows = sampler.rows[job.shard[0] :: job.shard[1]]
    store = Store(job.unfinished, _identity(plan, job))
    num_tokens = 0
    for first in range(0, len(rows), job.batch_size):
        batch = rows[first : first + job.batch_size]
        if any(row["row"] not in store.done for row in batch):
            for row, group in zip(batch, sampler.draw(batch), strict=True):
                num_tokens += sum(len(sample.rollout.answer_ids) for sample in group)
                if row["row"] not in store.done:
                    store.add(row["row"], _drawn(row, group, sampler.weights, sampler.key))
        report(min(first + job.batch_size, len(rows)), len(rows))
    kept = _write(job, store, rows)
    store.remove()
    drawn = [store.done[row["row"]] for row in rows]
    return Summary(
        num_prompts=len(rows),
        num_kept=kept,
        num_answers=sum(len(each["answers"]) for each in drawn),
        num_tokens=num_tokens,
        seconds=time.monotonic() - start,
        figures=_figures(drawn),
    )


class _Sampler:
    """The live parts that drawing needs."""

    def __init__(self, plan: RunPlan) -> None:
        import transformers

        from swift_core.assemble.data.encode import Stage, Tally, encode_rows
        from swift_core.assemble.data.load import limit_of
        from swift_core.assemble.data.read import read_data
        from swift_core.assemble.encoder import HfEncoder
        from swift_core.assemble.engine import build_engine
        from swift_core.assemble.kinds.prompts import PromptRows
        from swift_core.assemble.model import fetch, load_model, tokenizer_for
        from swift_core.assemble.other_model import ready_engine
        from swift_core.assemble.reward_checks import check_rewards
        from swift_core.assemble.rewards import build_rewards
        from swift_core.assemble.turns import build_turns, check_conversations

        transformers.set_seed(plan.settings.train.seed)
        self.plan, self.rewards = plan, build_rewards(plan)
        self.weights = {reward.name: reward.weight for reward in self.rewards}
        self.engine, self.turns = build_engine(plan), build_turns(plan)
        folder = fetch(plan, plan.settings.model.model_id, "model.model_id")
        tokenizer = tokenizer_for(plan, folder)
        self.encoder = HfEncoder(tokenizer, plan.settings.model.chat_template_kwargs)
        items = read_data(plan).train
        check_rewards(plan, self.rewards, [item.record for item in items])
        limit = replace(limit_of(plan), overlong="error")
        self.rows: list[Any] = encode_rows(items, self.encoder, Stage("sample", PromptRows(), False), limit, Tally())
        check_conversations(plan, self.rows)
        self.stops = tuple(ready_engine(self.engine, folder, self.encoder, lambda: load_model(plan, folder, tokenizer)))
        self.key = next((each for each in map(_extractor, self.rewards) if each), _whole)

    def draw(self, batch: Sequence[Any]) -> list[list[Sample]]:
        """Return a scored group of answers for each row; what is drawn depends on the seed and the rows alone."""
        from swift_core.assemble.turns import draw, hash_seed
        from swift_core.contracts.engine import SamplingParams
        from swift_core.train.policy.samples import scored_samples

        settings = self.plan.settings
        params = SamplingParams(
            max_tokens=settings.train.max_completion_length,
            temperature=settings.rollout.temperature,
            top_p=settings.rollout.top_p,
            top_k=settings.rollout.top_k,
            num_answers=settings.rollout.num_generations,
            seed=hash_seed(settings.train.seed, batch[0]["row"]),
            seeds=tuple(hash_seed(settings.train.seed, row["row"]) for row in batch),
            stop_token_ids=self.stops,
        )
        drawn = draw(self.engine, self.turns, self.encoder, batch, params)
        return scored_samples(self.plan, self.rewards, self.encoder, batch, drawn, self.stops)


def _extractor(reward: Any) -> Callable[[str], str | None] | None:
    """Return what a reward takes an answer to say, where it tells."""
    found: Callable[[str], str | None] | None = getattr(reward.score.reward, "extract", None)
    return found


def _whole(text: str) -> str | None:
    """Return the answer without white space at its ends: answers mean the same when they are the same."""
    return text.strip() or None


def _drawn(
    row: Any, group: Sequence[Sample], weights: dict[str, float], key: Callable[[str], str | None]
) -> dict[str, Any]:
    answers = []
    for sample in group:
        total = sample.total(weights)
        answers.append(
            {
                "text": sample.text,
                "reward": total if total == total else None,
                "rewards": sample.rewards,
                **({"steps": sample.steps} if sample.steps else {}),
                **({"turns": list(sample.rollout.messages)} if sample.rollout.messages else {}),
                "key": key(sample.text),
                "finished": sample.rollout.finished,
            }
        )
    return {"prompt": row["prompt"], "answers": answers}


def _identity(plan: RunPlan, job: Job) -> dict[str, Any]:
    """Return what makes two jobs the same: a job that differs in any of it does not go on with the other's answers."""
    from swift_core.contracts.plan_json import plan_dict

    whole = plan_dict(plan)
    told = {name: whole[name] for name in ("settings", "parts", "versions")}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:32]
    return {"plan": digest, "shard": list(job.shard), "batch_size": job.batch_size}


def _write(job: Job, store: Store, rows: Sequence[Any]) -> int:
    """Write the kept rows, all or nothing, in the order of the data; return their number."""
    from swift_core.artifacts.atomic import write_text

    kept = [row for each in rows for row in rows_of(store.done[each["row"]], job.choice)]
    write_text(job.output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))
    return len(kept)


def _figures(drawn: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return mean rewards over the prompts that have any."""
    values: dict[str, list[float]] = {"first": [], "mean": [], "best_of_n": [], "majority": []}
    for each in drawn:
        candidates = candidates_of(each)
        rewards = [candidate.reward for candidate in candidates if candidate.reward is not None]
        if not rewards:
            continue
        values["first"].append(rewards[0])
        values["mean"].append(sum(rewards) / len(rewards))
        for name, chosen in (("best_of_n", best_of_n(candidates)), ("majority", majority(candidates))):
            values[name].append((candidates[chosen].reward or 0.0) if chosen is not None else 0.0)
    return {name: sum(numbers) / len(numbers) for name, numbers in values.items() if numbers}
