"""Rewards, and how answers are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.ms_swift.migrate.migration import as_list

if TYPE_CHECKING:
    from swift_core.ms_swift.migrate.migration import Migration

REWARDS: dict[str, tuple[str, dict[str, str]]] = {
    "accuracy": ("math", {}),
    "math": ("math", {}),
    "format": ("format", {}),
    "react_format": ("react_format", {}),
    "toolbench": ("toolbench", {}),
    "cosine": (
        "cosine",
        {
            "cosine_max_len": "max_length",
            "cosine_min_len_value_correct": "right_at_zero",
            "cosine_max_len_value_correct": "right_at_max",
            "cosine_min_len_value_wrong": "wrong_at_zero",
            "cosine_max_len_value_wrong": "wrong_at_max",
        },
    ),
    "repetition": ("repetition", {"repetition_n_grams": "ngram_size", "repetition_max_penalty": "max_penalty"}),
    "soft_overlong": ("soft_overlong", {"soft_max_length": "max_length", "soft_cache_length": "cache_length"}),
}
"""Reward of ms-swift -> reward here, and its arguments with our names."""

_SAMPLES = ("grpo", "ppo", "gkd")

_VLLM = "answers are drawn by the model that is trained (rollout.engine: transformers)"


def settle_rollouts(migration: Migration, stage: str) -> None:
    """Put rewards and sampling."""
    _rewards(migration)
    if stage not in _SAMPLES:
        return
    for name in ("num_generations", "temperature", "top_p", "num_iterations", "max_resample_times"):
        migration.carry(name, f"rollout.{name}")
    migration.carry("max_completion_length", "train.max_completion_length")
    top_k = migration.take("top_k")
    if top_k is not None:
        migration.put("rollout.top_k", max(int(top_k), 0))
    if migration.take("overlong_filter"):
        migration.put("rollout.mask_truncated", True)
    if not migration.take("dynamic_sample", False):
        migration.run.pop("rollout.max_resample_times", None)
    elif "rollout.max_resample_times" not in migration.run:
        migration.put("rollout.max_resample_times", 3, remark="their default")
    if migration.has("log_completions"):
        migration.put("rollout.log_completions", 2 if migration.take("log_completions") else 0)
    _scaling(migration)
    for name in [name for name in migration.left if name.startswith(("vllm_", "sglang_")) or name == "use_vllm"]:
        migration.lose(name, _VLLM, loses=False)
    for name in ("async_generate", "sleep_level", "offload_model", "offload_optimizer", "move_model_batches"):
        migration.lose(name, _VLLM, loses=False)


def _scaling(migration: Migration) -> None:
    scale = migration.take("scale_rewards")
    if scale in (False, "none"):
        migration.put("rollout.advantages", "group_mean")
    elif scale == "batch":
        migration.put("rollout.advantages", "batch")
    elif scale not in (None, True, "group"):
        migration.lose_value("scale_rewards", scale, "rollout.advantages has the ways of comparing rewards")


def _rewards(migration: Migration) -> None:
    names = [str(name) for name in as_list(migration.take("reward_funcs"))]
    weights = as_list(migration.take("reward_weights"))
    from_files = bool(migration.run.get("plugins.ms_swift_files"))
    orms: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        known = REWARDS.get(name)
        if known is None and not from_files:
            reason = "no reward of this name is known; name its file with --external_plugins"
            migration.lose_value("reward_funcs", name, reason)
            continue
        ours, options = known or (name, {})
        given = {key: value for theirs, key in options.items() if (value := migration.take(theirs)) is not None}
        orm = {"name": ours, "kwargs": given, "weight": float(weights[index]) if index < len(weights) else None}
        orms.append({key: value for key, value in orm.items() if value not in (None, {})})
    if orms:
        migration.put("reward.orms", orms)
    reason = "write reward.orms: [{name: reward_model, kwargs: {run: DIR}}], the directory of a run of stage rm"
    for name in ("reward_model", "reward_model_plugin", "reward_adapters", "reward_model_type"):
        migration.lose(name, reason)
    for name in [theirs for _, options in REWARDS.values() for theirs in options]:
        migration.lose(name, "it belongs to a reward that is not chosen", loses=False)
    for name in ("multi_turn_scheduler", "max_turns", "use_gym_env", "gym_env"):
        migration.lose(name, "conversations are not drawn turn by turn from these arguments")
