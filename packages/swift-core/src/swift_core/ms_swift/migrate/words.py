"""The words of other programs in those of ms-swift, and what each program takes for what is not given."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swift_core.ms_swift.migrate.given import Argument

LLAMA_FACTORY: dict[str, str] = {
    "model_name_or_path": "model",
    "adapter_name_or_path": "adapters",
    "finetuning_type": "train_type",
    "cutoff_len": "max_length",
    "val_size": "split_dataset_ratio",
    "eval_dataset": "val_dataset",
    "lora_target": "target_modules",
    "additional_target": "modules_to_save",
    "loraplus_lr_ratio": "lorap_lr_ratio",
    "quantization_bit": "quant_bits",
    "quantization_method": "quant_method",
    "flash_attn": "attn_impl",
    "pref_loss": "loss_type",
    "pref_beta": "beta",
    "pref_ftx": "rpo_alpha",
    "dpo_label_smoothing": "label_smoothing",
    "kto_chosen_weight": "desirable_weight",
    "kto_rejected_weight": "undesirable_weight",
    "default_system": "system",
    "ref_model": "ref_model",
    "preprocessing_num_workers": "dataset_num_proc",
}

TRL: dict[str, str] = {
    "model_name_or_path": "model",
    "teacher_model_name_or_path": "teacher_model",
    "dataset_name": "dataset",
    "dtype": "torch_dtype",
    "attn_implementation": "attn_impl",
    "lora_r": "lora_rank",
    "lora_target_modules": "target_modules",
    "lora_modules_to_save": "modules_to_save",
    "max_seq_length": "max_length",
    "num_generations": "num_generations",
}

MS_SWIFT_2: dict[str, str] = {
    "model_id_or_path": "model",
    "sft_type": "train_type",
    "batch_size": "per_device_train_batch_size",
    "eval_batch_size": "per_device_eval_batch_size",
    "lora_dropout_p": "lora_dropout",
    "lora_target_modules": "target_modules",
    "lora_modules_to_save": "modules_to_save",
    "dtype": "torch_dtype",
    "dataset_test_ratio": "split_dataset_ratio",
    "use_flash_attn": "attn_impl",
    "resume_from_ckpt": "resume_from_checkpoint",
}
"""Words of the second version of ms-swift."""

MS_SWIFT_DEFAULTS: Mapping[str, Any] = {
    "weight_decay": 0.1,
    "adam_beta2": 0.95,
    "lr_scheduler_type": "cosine",
    "lora_rank": 8,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "gradient_checkpointing": True,
    "per_device_train_batch_size": 1,
    "logging_steps": 5,
    "evaluates_when_it_saves": True,
}
"""What ms-swift takes; its learning rate depends on the tuner."""

_HF_DEFAULTS: Mapping[str, Any] = {"lr_scheduler_type": "linear"}

_LF_STAGES = {"pt": "pt", "sft": "sft"}

_LF_WITHOUT_EFFECT = (
    *("dataset_dir", "overwrite_cache", "plot_loss", "trust_remote_code", "include_num_input_tokens_seen"),
    *("dataloader_drop_last", "ddp_timeout", "flash_attn_auto", "upcast_layernorm", "use_unsloth", "do_predict"),
)

_TRL_WITHOUT_EFFECT = (
    *("dataset_config", "dataset_train_split", "dataset_test_split", "trust_remote_code", "use_peft"),
    *("bf16_full_eval", "dataset_streaming", "lora_task_type", "use_lora"),
)


def program_of(arguments: Sequence[Argument]) -> str:
    """Return whose words the arguments are: `ms-swift`, `llama-factory` or `trl`."""
    names = {argument.name for argument in arguments}
    if names & {"finetuning_type", "cutoff_len", "pref_loss", "lora_target"}:
        return "llama-factory"
    if "model_name_or_path" in names:
        return "trl"
    return "ms-swift"


def translated(program: str, command: str, arguments: Sequence[Argument]) -> tuple[str, list[Argument]]:
    """Return the command and the arguments in the words of ms-swift."""
    if program == "llama-factory":
        return _of_llama_factory(command, arguments)
    if program == "trl":
        return _of_trl(command, arguments)
    return ("rlhf" if command in ("reward", "dpo") else command), _of_ms_swift(arguments)


def defaults_of(program: str) -> Mapping[str, Any]:
    """Return what a program takes for arguments that are not given, where it differs from ours."""
    return MS_SWIFT_DEFAULTS if program == "ms-swift" else _HF_DEFAULTS


def _of_ms_swift(arguments: Sequence[Argument]) -> list[Argument]:
    kept = [replace(argument, name=MS_SWIFT_2.get(argument.name, argument.name)) for argument in arguments]
    second = {argument.name for argument in arguments} & MS_SWIFT_2.keys()
    return [_second(argument) for argument in kept] if second else list(arguments)


def _second(argument: Argument) -> Argument:
    """Return an argument with the value that the third version has for it."""
    if argument.name == "target_modules" and argument.value in ("ALL", ["ALL"]):
        return replace(argument, value="all-linear")
    if argument.name == "attn_impl" and isinstance(argument.value, bool):
        return replace(argument, value="flash_attn" if argument.value else "sdpa")
    return argument


def _of_llama_factory(command: str, arguments: Sequence[Argument]) -> tuple[str, list[Argument]]:
    kept = []
    for argument in arguments:
        name, value = LLAMA_FACTORY.get(argument.name, argument.name), argument.value
        if argument.name == "stage":
            command = _LF_STAGES.get(str(value), "rlhf")
            name = "rlhf_type" if command == "rlhf" else "stage"
            if command != "rlhf":
                continue
        elif argument.name == "pref_loss" and value in ("orpo", "simpo"):
            name = "rlhf_type"
        elif argument.name == "lora_target":
            value = ["all-linear"] if value == "all" else [word.strip() for word in str(value).split(",")]
        elif argument.name == "dataset":
            value = [word.strip() for word in str(value).split(",")] if isinstance(value, str) else value
        elif argument.name == "finetuning_type" and value == "freeze":
            value = "full"
        elif argument.name in _LF_WITHOUT_EFFECT:
            name = "lazy_tokenize" if value else name
        kept.append(replace(argument, name=name, value=value))
    return command, _last_of_each(kept)


def _of_trl(command: str, arguments: Sequence[Argument]) -> tuple[str, list[Argument]]:
    stages = {"reward": "rm"}
    peft = any(a.name == "use_peft" and a.value for a in arguments)
    kept = [replace(a, name=TRL.get(a.name, a.name)) for a in arguments if a.name not in _TRL_WITHOUT_EFFECT]
    kept = [_bits(argument) for argument in kept]
    given = {argument.name for argument in kept}
    if not peft and "train_type" not in given:
        kept.append(_made(arguments[0], "train_type", "full"))
    if command and command not in ("sft", "pt", "rlhf"):
        kept.append(_made(arguments[0], "rlhf_type", stages.get(command, command)))
        command = "rlhf"
    return command, _last_of_each(kept)


def _bits(argument: Argument) -> Argument:
    bits = {"load_in_4bit": 4, "load_in_8bit": 8}.get(argument.name)
    return replace(argument, name="quant_bits", value=bits if argument.value else None) if bits else argument


def _made(beside: Argument, name: str, value: Any) -> Argument:
    return replace(beside, name=name, value=value, place=None)


def _last_of_each(arguments: Sequence[Argument]) -> list[Argument]:
    return list({argument.name: argument for argument in arguments}.values())
