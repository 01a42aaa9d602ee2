"""What ms-swift calls its registries, in its third and fourth version, and the kind of plugin that each holds here."""

from __future__ import annotations

DIALECT = "ms_swift"
"""How a PluginSpec says that its file is written for ms-swift."""

PACKAGE = "swift"
"""The package that such a file imports from."""

REGISTRIES: dict[str, str] = {
    "loss_mapping": "loss",
    "LOSS_MAPPING": "loss",
    "loss_map": "loss",
    "loss_scale_map": "loss_scale",
    "metric_mapping": "metric",
    "METRIC_MAPPING": "metric",
    "eval_metrics_map": "metric",
    "optimizers_map": "optimizer",
    "extra_tuners": "tuner",
    "tuners_map": "tuner",
    "callbacks_map": "callback",
    "agent_templates": "agent_template",
    "agent_template_map": "agent_template",
    "orms": "orm",
    "prms": "prm",
}
"""A dictionary of ms-swift -> the kind of what it holds."""

CALLBACK_LIST = "extra_callbacks"
"""The list whose callbacks take part in every run."""

DECORATORS: dict[str, str] = {
    "register_loss_func": "loss",
    "register_loss": "loss",
    "register_metric": "metric",
    "register_optimizer": "optimizer",
    "register_callback": "callback",
    "register_tuner": "tuner",
    "register_loss_scale": "loss_scale",
    "register_agent_template": "agent_template",
    "register_orm": "orm",
    "register_prm": "prm",
}
"""A decorator that is given a name -> the kind of what it registers."""

UNMAPPED: dict[str, str] = {
    "rm_plugins": "name the run of a reward model: reward: {orms: [{name: reward_model, kwargs: {run: FOLDER}}]}",
    "multi_turns": "a scheduler of turns is a swift.multi_turns plugin here: rollout: {multi_turn: NAME}",
    "envs": "there are no environments here",
    "context_managers": "there are no environments here",
    "megatron_callbacks_map": "there is no Megatron here",
    "register_model": "write model: {model_id: FOLDER}: any causal model of transformers does",
    "register_model_arch": "write model: {model_id: FOLDER}: any causal model of transformers does",
    "register_template": "write model: {chat_template: FILE.jinja}, or leave the tokenizer's own",
    "register_dataset": "write data: {dataset: PATH, columns: {...}}, or a format of your own (swift.datasets)",
    "register_dataset_info": "write data: {dataset: PATH, columns: {...}}",
    "register_ray_trainer": "a procedure of your own is a swift.trainers plugin",
}
"""What registers things that have no place here -> what to do instead."""

SUPPORTED = frozenset(
    {
        "AsyncORM",
        "BaseAgentTemplate",
        "BaseLoss",
        "ChatCompletionResponse",
        "ChatCompletionResponseChoice",
        "ChatMessage",
        "ContextType",
        "EvalMetrics",
        "Function",
        "InferRequest",
        "LossScale",
        "Messages",
        "ORM",
        "OptimizerCallback",
        "PRM",
        "Prompt",
        "TrainerCallback",
        "Tuner",
        "calculate_max_steps",
        "ce_loss_func",
        "find_all_linears",
        "get_env_args",
        "get_dist_setting",
        "get_logger",
        "is_dist",
        "is_master",
        "per_token_loss_func",
        "preprocess_logits_for_acc",
    }
)
"""What else a file may import from ms-swift and use here; each is one attribute of `stand_ins.Support`."""

MODULES = frozenset(
    {
        "agent_template",
        "arguments",
        "callback",
        "callbacks",
        "dataset",
        "infer",
        "infer_engine",
        "llm",
        "loss",
        "loss_scale",
        "metric",
        "metrics",
        "model",
        "optimizer",
        "optimizers",
        "orm",
        "plugin",
        "prm",
        "protocol",
        "rewards",
        "rollout",
        "template",
        "trainers",
        "tuner",
        "tuner_plugin",
        "utils",
    }
)
"""Modules of ms-swift that are imported as such: `from swift import plugin`."""
