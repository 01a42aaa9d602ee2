"""Model, data, tuner, optimizer, schedule, metrics, callbacks and processes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from swift_core.ms_swift.migrate.given import Argument
from swift_core.ms_swift.migrate.migration import NotCarried, as_list, joined

if TYPE_CHECKING:
    from swift_core.ms_swift.migrate.migration import Migration

_DTYPES = {
    "bfloat16": "bfloat16",
    "float16": "float16",
    "float32": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
    "auto": "auto",
}
_ATTENTION = {
    "flash_attn": "flash_attention_2",
    "flash_attention_2": "flash_attention_2",
    "fa2": "flash_attention_2",
    "sdpa": "sdpa",
    "eager": "eager",
    "auto": "sdpa",
}
_OVERLONG = {"delete": "drop", "right": "truncate", "raise": "error"}
_TUNERS = ("lora", "full", "adalora", "ia3", "vera")
_METRICS = ("acc", "orm_accuracy", "exact_match", "perplexity", "nlg")
_CALLBACKS = {"early_stop": "early_stopping"}
"""Callback of ms-swift -> callback here."""

_SCALES = ("default", "last_round", "all", "ignore_empty_think", "react", "hermes", "qwen")
_METHODS = {"zero2": "zero2", "zero3": "zero3", "fsdp2": "fsdp2"}


def settle_model(migration: Migration) -> None:
    """Put type, attention and template variables of the model."""
    dtype = migration.take("torch_dtype")
    flags = [name for name in ("bf16", "fp16") if migration.take(name)]
    if dtype is not None or flags:
        chosen = _DTYPES.get(str(dtype if dtype is not None else flags[0]).removeprefix("torch."))
        if chosen is None:
            migration.lose_value("torch_dtype", dtype, "model.dtype is float32, bfloat16 or float16")
        else:
            migration.put("model.dtype", chosen)
    attention = migration.take("attn_impl")
    if attention is not None and str(attention) in _ATTENTION:
        migration.put("model.attn_implementation", _ATTENTION[str(attention)])
    elif attention is not None:
        migration.lose_value("attn_impl", attention, "model.attn_implementation is sdpa, eager or flash_attention_2")
    if migration.has("enable_thinking"):
        migration.put("model.chat_template_kwargs", {"enable_thinking": migration.take("enable_thinking")})


def settle_data(migration: Migration, stage: str) -> None:
    """Put the data sets, what becomes of long rows, and what weighs tokens."""
    for name, key in (("dataset", "data.dataset"), ("val_dataset", "data.val_dataset")):
        if items := [str(item) for item in as_list(migration.take(name))]:
            migration.put(key, joined(items))
    strategy = str(migration.take("truncation_strategy", "delete"))
    if strategy in _OVERLONG:
        migration.put("data.overlong", _OVERLONG[strategy])
    else:
        migration.lose_value("truncation_strategy", strategy, "rows are cut on the right; data.overlong: truncate")
    _loss_scale(migration, stage)


def _loss_scale(migration: Migration, stage: str) -> None:
    written = migration.take("loss_scale")
    if written is None:
        return
    names = str(written).split("+")
    if names == ["last_round_with_ignore_empty_think"]:
        names = ["last_round", "ignore_empty_think"]
    from_files = bool(migration.run.get("plugins.ms_swift_files"))
    if unknown := [name for name in names if name not in _SCALES and not from_files]:
        reason = "no loss scale of this name is here; write train.loss_scale: [{name: patterns, kwargs: {...}}]"
        migration.lose_value("loss_scale", "+".join(unknown), reason)
        names = [name for name in names if name not in unknown]
    if stage != "sft":
        if names not in (["last_round"], ["default"]):
            migration.lose_value("loss_scale", "+".join(names), f"the losses of stage {stage} weigh no tokens")
    elif names and names != ["default"]:
        migration.put("train.loss_scale", names)


def settle_tuner(migration: Migration) -> None:
    """Put the tuner and its options."""
    name = str(migration.take("train_type", migration.take("tuner_type", "lora")))
    from_files = bool(migration.run.get("plugins.ms_swift_files"))
    if name not in _TUNERS and not from_files:
        migration.lose_value("train_type", name, "no tuner of this name is here; lora stands in its place")
        name = "lora"
    options = _lora(migration) if name in ("lora", "adalora") else _full(migration) if name == "full" else {}
    if name == "adalora":
        options = {
            key: value
            for key, value in options.items()
            if key in ("target_modules", "lora_alpha", "lora_dropout", "adapter")
        }
    if options.pop("use_dora", False):
        name = "dora"
    bits = migration.take("quant_bits")
    method = migration.take("quant_method", "bnb")
    if bits:
        migration.put("model.quantization_bit", int(bits))
        name = "qlora" if name == "lora" else name
        if method not in ("bnb", "bitsandbytes"):
            migration.lose_value("quant_method", method, "weights are quantised by bitsandbytes")
    for left in [left for left in migration.left if left.startswith("bnb_4bit_")]:
        migration.lose(left, "weights are NF4 with doubly quantised scales", loses=False)
    migration.put("train.tuner_strategy", name)
    migration.options("train.tuner_kwargs", options)


def _lora(migration: Migration) -> dict[str, Any]:
    targets = [str(one) for one in as_list(migration.take("target_modules", "all-linear"))]
    if "all-linear" in targets and len(targets) > 1:
        beside = " ".join(target for target in targets if target != "all-linear")
        reason = "target_modules is all-linear or a list: write the ends of the linear layers' names before these"
        migration.lose_value("target_modules", beside, reason)
        targets = ["all-linear"]
    options: dict[str, Any] = {
        "lora_rank": migration.take("lora_rank"),
        "lora_alpha": migration.take("lora_alpha"),
        "lora_dropout": migration.take("lora_dropout"),
        "target_modules": "all-linear" if targets == ["all-linear"] else targets,
        "modules_to_save": [str(one) for one in as_list(migration.take("modules_to_save"))] or None,
        "use_rslora": True if migration.take("use_rslora") else None,
        "use_dora": bool(migration.take("use_dora")),
        "loraplus_lr_ratio": migration.take("lorap_lr_ratio"),
    }
    if adapters := as_list(migration.take("adapters")):
        options["adapter"] = str(adapters[0])
        for other in adapters[1:]:
            migration.lose_value("adapters", other, "one adapter is trained on")
    return options | _initial(migration)


def _initial(migration: Migration) -> dict[str, Any]:
    written = migration.take("init_weights", migration.take("init_lora_weights"))
    name = str(written).lower()
    if written is None or name in ("true", "none"):
        return {}
    if name.startswith("pissa_niter_"):
        return {"init_lora_weights": "pissa", "pissa_niter": int(name.rpartition("_")[2])}
    if name in ("gaussian", "orthogonal", "pissa", "olora"):
        return {"init_lora_weights": name}
    migration.lose_value("init_weights", written, "first weights are default, gaussian, orthogonal, pissa or olora")
    return {}


def _full(migration: Migration) -> dict[str, Any]:
    return {
        "freeze": [str(one) for one in as_list(migration.take("freeze_parameters"))] or None,
        "trainable": [str(one) for one in as_list(migration.take("trainable_parameters"))] or None,
    }


def settle_optimizer(migration: Migration) -> None:
    """Put optimizer and schedule."""
    name = migration.take("optimizer", migration.take("optim", "adamw_torch"))
    options: dict[str, Any] = {}
    galore = {"galore_rank": "rank", "galore_update_proj_gap": "update_proj_gap", "galore_scale": "scale"}
    if migration.take("use_galore") or name == "galore":
        name = "q_galore" if migration.take("galore_quantization") else "galore_adamw"
        options = {ours: migration.take(theirs) for theirs, ours in galore.items()}
        options["proj_type"] = migration.take("galore_proj_type")
        if targets := as_list(migration.take("galore_target_modules")):
            options["target_modules"] = [str(one) for one in targets]
    elif name == "lorap":
        name = "adamw"  # the tuner has the ratio
    elif name in ("default", "multimodal"):
        name = "adamw"
    if name not in ("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw"):
        migration.put("train.optimizer_type", str(name))
    migration.options("train.optimizer_kwargs", options)
    if name not in ("sgd", "lion", "adafactor"):
        for moment in ("adam_beta1", "adam_beta2", "adam_epsilon"):
            migration.carry(moment, f"train.{moment}")
    migration.lose("optim_args", "write train.optimizer_kwargs")
    for left in [left for left in migration.left if left.startswith("galore_")]:
        migration.lose(left, "GaLore is not chosen", loses=False)
    _schedule(migration)


def _schedule(migration: Migration) -> None:
    migration.carry("lr_scheduler_type", "train.lr_scheduler_type")
    options = migration.take("lr_scheduler_kwargs")
    if options:
        given = json.loads(options) if isinstance(options, str) else options
        migration.options("train.lr_scheduler_kwargs", given)
    ratio, steps = migration.take("warmup_ratio"), migration.take("warmup_steps")
    if steps or ratio:
        migration.put("train.warmup_steps", steps or float(ratio))


def settle_steps(migration: Migration, *, auto: int) -> None:
    """Put accumulation, evaluation, saving and reports.

    Args:
        migration: The run file so far.
        auto: Rows of a step when accumulation is not given, as ms-swift fills it up to; 0 leaves it at 1.
    """
    accumulation = migration.take("gradient_accumulation_steps")
    rows = int(migration.run.get("train.per_device_train_batch_size", 1))
    processes = int(migration.run.get("device.num_processes", 1))
    if accumulation is None and auto:
        migration.put(
            "train.gradient_accumulation_steps", max(-(-auto // (rows * processes)), 1), remark="their default"
        )
    elif accumulation is not None:
        migration.put("train.gradient_accumulation_steps", int(accumulation))
    for name in ("eval_strategy", "save_strategy"):
        value = migration.take(name, migration.take("evaluation_strategy") if name == "eval_strategy" else None)
        if value is not None:
            migration.put(f"train.{name}", "no" if value is False else str(value))
    if "data.val_dataset" not in migration.run and not migration.run.get("data.split_dataset_ratio"):
        migration.run.pop("train.eval_strategy", None)
    elif migration.take("evaluates_when_it_saves"):
        for name, default in (("strategy", "steps"), ("steps", None)):
            saves = migration.run.get(f"train.save_{name}", default)
            if saves is not None and f"train.eval_{name}" not in migration.run:
                migration.put(f"train.eval_{name}", saves, remark="their default")
    trackers = [str(one) for one in as_list(migration.take("report_to")) if one not in ("none", "all")]
    if trackers:
        migration.put("train.report_to", trackers)


def settle_lists(migration: Migration) -> None:
    """Put files of plugins, metrics and callbacks."""
    from_files = bool(migration.run.get("plugins.ms_swift_files"))
    for argument, key, known in (
        ("eval_metric", "train.metrics", _METRICS),
        ("metric", "train.metrics", _METRICS),
        ("callbacks", "train.callbacks", ("early_stopping",)),
    ):
        names = [_CALLBACKS.get(str(name), str(name)) for name in as_list(migration.take(argument))]
        for name in [name for name in names if name not in known and not from_files]:
            migration.lose_value(argument, name, f"no plugin of this name is known; see {key}")
            names.remove(name)
        if names:
            migration.put(key, names)
    patience = migration.take("early_stop_interval")
    if patience:
        callback = {"name": "early_stopping", "kwargs": {"patience": int(patience)}}
        migration.put("train.callbacks", [*migration.run.get("train.callbacks", []), callback])
    _best(migration)


def _best(migration: Migration) -> None:
    """Put what says which checkpoint is the best into the callback that stops early."""
    callbacks = migration.run.get("train.callbacks", [])
    stops = [one for one in callbacks if (one["name"] if isinstance(one, dict) else one) == "early_stopping"]
    if not stops:
        return
    names = {"metric_for_best_model": "metric", "greater_is_better": "greater_is_better"}
    given = {ours: migration.take(theirs) for theirs, ours in names.items()}
    options = {key: value for key, value in given.items() if value is not None}
    kwargs = {**(stops[0]["kwargs"] if isinstance(stops[0], dict) else {}), **options}
    stopping = {"name": "early_stopping", "kwargs": kwargs} if kwargs else "early_stopping"
    migration.put("train.callbacks", [stopping if one is stops[0] else one for one in callbacks])


def settle_files(migration: Migration) -> None:
    """Put the files of plugins."""
    files = [str(f) for name in ("external_plugins", "custom_register_path") for f in as_list(migration.take(name))]
    if files:
        migration.put("plugins.ms_swift_files", files)


def settle_processes(migration: Migration) -> None:
    """Put processes and how they share the work."""
    processes, nodes = migration.take("nproc_per_node"), migration.take("nnodes")
    if processes:
        migration.put("device.num_processes", int(processes) * int(nodes or 1))
    for name in ("deepspeed", "fsdp"):
        value = migration.take(name)
        method = _METHODS.get(str(value).replace("_offload", ""))
        if method and migration.run.get("device.num_processes", 1) == 1:
            reason = (
                f"one process shares nothing; with more write device: {{num_processes: N, parallel_method: {method}}}"
            )
            migration.not_carried.append(NotCarried(Argument(name, value), reason, loses=False))
        elif method:
            migration.put("device.parallel_method", method)
            if str(value).endswith("_offload"):
                migration.lose_value(name, value, f"{method} without offloading stands in its place")
        elif value:
            migration.lose_value(name, value, f"device.parallel_method is one of ddp, {', '.join(_METHODS)}")
