"""The stage, the loss and its options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.errors import Problem, SwiftError
from swift_core.ms_swift.migrate.migration import as_list

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swift_core.ms_swift.migrate.migration import Migration

STAGES = ("dpo", "orpo", "simpo", "kto", "cpo", "rm", "ppo", "grpo", "gkd")
"""Values of `rlhf_type`; each is a stage here, or a loss that stands for one."""

PAIR_LOSSES = {
    "sigmoid": "dpo",
    "hinge": "hinge",
    "ipo": "ipo",
    "exo_pair": "exo",
    "nca_pair": "nca",
    "robust": "robust_dpo",
    "bco_pair": "bco_pair",
    "sppo_hard": "sppo_hard",
    "aot": "aot",
    "aot_unpaired": "aot_unpaired",
    "discopop": "discopop",
    "apo_zero": "apo_zero",
    "apo_down": "apo_down",
    "sigmoid_norm": "sigmoid_norm",
    "sft": "chosen_nll",
}
"""`loss_type` of dpo -> the loss here."""

_SMOOTHED = frozenset({"dpo", "robust_dpo", "exo"})

_GRPO_LOSSES = ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo")

_ESTIMATORS = {"grpo": "", "rloo": "rloo", "reinforce_plus_plus": "reinforce_plus_plus"}

_BETAS = {"simpo": 2.0, "grpo": 0.04, "gkd": 0.5}


def settle_stage(migration: Migration) -> str:
    """Put the stage and the loss; return the stage in ms-swift's words.

    Raises:
        SwiftError: No stage here does what the arguments ask for.
    """
    rlhf_type = migration.take("rlhf_type")
    task = migration.take("task_type")
    if task not in (None, "causal_lm", "seq_cls"):
        raise SwiftError(
            Problem(
                "no-such-stage", f"no stage here does task_type {task!r}", next_step="swift plugins list --kind trainer"
            )
        )
    stage = str(rlhf_type or {"rlhf": "dpo", "": "sft"}.get(migration.command, migration.command))
    if task == "seq_cls" and stage in ("sft", "pt"):
        stage = "seq_cls"
    if stage not in (*STAGES, "sft", "pt", "seq_cls"):
        message = f"no stage here does rlhf_type {stage!r}"
        raise SwiftError(Problem("no-such-stage", message, next_step=f"choose one of {', '.join(STAGES)}"))
    migration.put("train.stage", stage)
    for name in ("num_labels", "problem_type"):
        migration.lose(name, "the labels of the data say it", loses=False)
    _LOSSES.get(stage, _token_loss)(migration)
    return stage


def _token_loss(migration: Migration) -> None:
    if migration.take("enable_dft_loss"):
        migration.put("train.loss_type", "dft")
    migration.carry("loss_type", "train.loss_type")


def _pair_loss(migration: Migration) -> None:
    names = [PAIR_LOSSES.get(str(name), str(name)) for name in as_list(migration.take("loss_type", "sigmoid"))]
    weights = [float(weight) for weight in as_list(migration.take("loss_weights"))] or [1.0] * len(names)
    ld_alpha, rpo_alpha = migration.take("ld_alpha"), migration.take("rpo_alpha")
    if ld_alpha is not None and names == ["dpo"]:
        names = ["ld_dpo"]
    if rpo_alpha:
        names, weights = [*names, "chosen_nll"], [*weights, float(rpo_alpha)]
    beta, smoothing = float(migration.take("beta", 0.1)), migration.take("label_smoothing")
    tau = migration.take("discopop_tau")
    divergence = migration.take("f_divergence_type")
    terms: list[dict[str, Any]] = []
    for name, weight in zip(names, weights, strict=True):
        options: dict[str, Any] = {} if name == "chosen_nll" else {"beta": beta}
        options |= {"label_smoothing": smoothing} if smoothing and name in _SMOOTHED else {}
        options |= {"tau": tau} if tau is not None and name == "discopop" else {}
        options |= {"ld_alpha": ld_alpha} if name == "ld_dpo" else {}
        options |= {"f_divergence": divergence} if divergence is not None and name == "dpo" else {}
        terms.append({"name": name, "weight": weight, "kwargs": options})
    if smoothing and not _SMOOTHED & set(names):
        migration.lose_value("label_smoothing", smoothing, f"the loss {names[0]} smooths no labels")
    if len(terms) == 1:
        migration.put("train.loss_type", names[0])
        migration.options("train.loss_kwargs", terms[0]["kwargs"])
        return
    migration.put("train.loss_type", "mixture")
    migration.put("train.loss_kwargs", {"losses": terms})


def _orpo(migration: Migration) -> None:
    migration.lose("loss_type", "orpo has one loss", loses=False)
    _options(migration, {"beta": "beta"})


def _simpo(migration: Migration) -> None:
    migration.lose("loss_type", "the stage says it", loses=False)
    _options(migration, {"beta": "beta", "simpo_gamma": "gamma"}, stage="simpo")
    alpha = migration.take("cpo_alpha")
    if alpha:
        reason = f"write train.loss_type: mixture with the losses simpo and chosen_nll (weight {alpha})"
        migration.lose_value("cpo_alpha", alpha, reason)


def _cpo(migration: Migration) -> None:
    name = migration.take("loss_type", "sigmoid")
    if name == "simpo":
        migration.put("train.stage", "simpo")
        _simpo(migration)
        return
    _options(migration, {"beta": "beta", "cpo_alpha": "alpha", "label_smoothing": "label_smoothing"})
    if name != "sigmoid":
        migration.options("train.loss_kwargs", {"preference": name})


def _kto(migration: Migration) -> None:
    name = migration.take("loss_type", "kto")
    if name != "kto":
        migration.put("train.loss_type", name)
    names = ("beta", "desirable_weight", "undesirable_weight")
    _options(migration, dict(zip(names, names, strict=True)))


def _rm(migration: Migration) -> None:
    _options(migration, {"center_rewards_coefficient": "center_rewards_coefficient"}, beta=False)


def _ppo(migration: Migration) -> None:
    names = {"cliprange": "epsilon", "cliprange_value": "epsilon_value", "vf_coef": "value_weight"}
    _options(migration, names, beta=False)
    for name, key in {"kl_coef": "kl_coef", "gamma": "gamma", "lam": "lam", "num_ppo_epochs": "num_iterations"}.items():
        migration.carry(name, f"rollout.{key}")
    migration.carry("missing_eos_penalty", "rollout.missing_eos_penalty")
    migration.carry("response_length", "train.max_completion_length")
    for name in ("num_mini_batches", "whiten_rewards"):
        migration.lose(name, "stage ppo has no such setting")
    for name in ("local_rollout_forward_batch_size", "num_sample_generations"):
        migration.lose(name, "the batch size says it", loses=False)


def _grpo(migration: Migration) -> None:
    name = str(migration.take("loss_type", "grpo"))
    level = migration.take("importance_sampling_level", "token")
    estimator = _ESTIMATORS.get(str(migration.take("advantage_estimator", "grpo")))
    if level == "sequence":
        name = "gspo"
    elif level != "token":
        migration.lose_value("importance_sampling_level", level, "ratios are of tokens (grpo) or of sequences (gspo)")
    if estimator is None:
        migration.lose_value("advantage_estimator", estimator, "rollout.advantages has the ways of comparing rewards")
    if migration.take("kl_in_reward"):
        migration.lose_value("kl_in_reward", True, "a divergence in the reward is stage ppo's, by rollout.kl_coef")
    if migration.has("log_entropy"):
        migration.lose("log_entropy", "the entropy is always logged", loses=False)
    if name not in (*_GRPO_LOSSES, "gspo"):
        migration.lose_value("loss_type", name, "no loss of this name is here; grpo stands in its place")
        name = "grpo"
    name = estimator or name
    migration.put("train.loss_type", name)
    low, high = migration.take("epsilon"), migration.take("epsilon_high")
    delta, beta = migration.take("delta"), float(migration.take("beta", _BETAS["grpo"]))
    _put_clipping(migration, name, {"low": low, "high": high, "delta": delta, "beta": beta})


def _put_clipping(migration: Migration, name: str, given: Mapping[str, Any]) -> None:
    low, high = given["low"], given["high"]
    if name in ("rloo", "reinforce_plus_plus"):
        migration.options("train.loss_kwargs", {"epsilon": low})
        left = {"epsilon_high": high, "delta": given["delta"], "beta": given["beta"]}
    elif name == "cispo":
        migration.options("train.loss_kwargs", {"epsilon_high": high, "beta": given["beta"] or None})
        left = {"delta": given["delta"]}
    elif name == "sapo":
        names = {"tau_pos": "tau_positive", "tau_neg": "tau_negative"}
        options = {key: migration.take(theirs) for theirs, key in names.items()}
        migration.options("train.loss_kwargs", options | {"beta": given["beta"] or None})
        left = {"epsilon": low, "epsilon_high": high, "delta": given["delta"]}
    else:
        high = high if high is not None else low
        options = {"epsilon_low": low, "epsilon_high": high, "beta": given["beta"]}
        left = {"delta": given["delta"]}
        if name != "gspo":
            migration.options("train.loss_kwargs", options | left)
            left = {}
        else:
            migration.options("train.loss_kwargs", options | {"beta": given["beta"] or None})
    for key, value in left.items():
        if value:
            migration.lose_value(key, value, f"the loss {name} has no such option")


def _gkd(migration: Migration) -> None:
    migration.lose("loss_type", "gkd has one loss", loses=False)
    _options(migration, {"beta": "beta"}, stage="gkd")
    migration.carry("lmbda", "rollout.lmbda")
    if migration.has("seq_kd") and not migration.left["seq_kd"].value:
        migration.lose("seq_kd", "the teacher's distribution is learnt from", loses=False)
    for name in ("seq_kd", "sft_alpha", "teacher_deepspeed", "teacher_adapters", "teacher_model_server"):
        migration.lose(name, "stage gkd takes one teacher from model.teacher_model_id, and its distribution only")


def _options(migration: Migration, names: Mapping[str, str], *, stage: str = "", beta: bool = True) -> None:
    """Carry arguments that are options of the loss; `beta` has ms-swift's default of the stage."""
    options = {ours: migration.take(theirs) for theirs, ours in names.items()}
    if beta and options.get("beta") is None:
        options["beta"] = _BETAS.get(stage, 0.1)
    migration.options("train.loss_kwargs", options)


_LOSSES = {
    "dpo": _pair_loss,
    "orpo": _orpo,
    "simpo": _simpo,
    "cpo": _cpo,
    "kto": _kto,
    "rm": _rm,
    "ppo": _ppo,
    "grpo": _grpo,
    "gkd": _gkd,
}
