"""What importing the public API gives, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys

import swift_core.plugin_api

HEAVY = {"torch", "transformers", "peft", "datasets", "accelerate", "numpy", "pydantic", "ruamel", "rich", "click"}


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_importing_the_plugin_api_loads_no_library():
    assert modules_after("import swift_core.plugin_api") & HEAVY == set()


def test_importing_core_loads_none_of_its_parts():
    code = "import swift_core, sys; print([name for name in sys.modules if name.startswith('swift_core.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_these():
    assert sorted(swift_core.plugin_api.__all__) == PUBLIC


def test_every_public_name_is_there():
    assert [name for name in PUBLIC if not hasattr(swift_core.plugin_api, name)] == []


PUBLIC = [
    "AGENT_TEMPLATE_MAPPING",
    "AgentTemplate",
    "Aggregation",
    "CALLBACK_MAPPING",
    "COMMAND_MAPPING",
    "Callback",
    "ClassOutputs",
    "Command",
    "ContrastiveOutputs",
    "Conversation",
    "DATASET_MAPPING",
    "DatasetFormat",
    "DistillOutputs",
    "ENGINE_MAPPING",
    "EVALUATOR_MAPPING",
    "EXPORTER_MAPPING",
    "Engine",
    "Evaluator",
    "Exporter",
    "Generations",
    "Generator",
    "HOOKS_MAPPING",
    "HUB_MAPPING",
    "Hooks",
    "Hub",
    "InferRequest",
    "LOSS_MAPPING",
    "LOSS_SCALE_MAPPING",
    "Loss",
    "LossOutput",
    "LossScale",
    "LossTerm",
    "METRIC_MAPPING",
    "MULTI_TURN_MAPPING",
    "Message",
    "Metric",
    "MultiTurn",
    "OPTIMIZER_MAPPING",
    "ORM_MAPPING",
    "OptimizerFactory",
    "OtherModel",
    "OutcomeReward",
    "POOL_MAPPING",
    "PRM_MAPPING",
    "PairOutputs",
    "PairRow",
    "ParamGroup",
    "Place",
    "PluginMapping",
    "PolicyOutputs",
    "Pool",
    "Predictions",
    "Problem",
    "Procedure",
    "ProcessReward",
    "ProgramResult",
    "Record",
    "RemoteClient",
    "ReportSection",
    "RewardFailure",
    "RewardInputs",
    "RewardScores",
    "Rollout",
    "SCHEDULER_MAPPING",
    "SamplingParams",
    "SandboxUnavailableError",
    "SchedulerFactory",
    "ScoreOutputs",
    "Started",
    "StatefulLoss",
    "StepLoss",
    "StepOutputs",
    "SwiftError",
    "TRAINER_MAPPING",
    "TUNER_MAPPING",
    "TextEncoder",
    "TokenOutputs",
    "TokenRow",
    "TrainedJudge",
    "Tuner",
    "UnpairedOutputs",
    "UnpairedRow",
    "Work",
    "WorkerFailure",
    "WorkerPool",
    "Workers",
    "aggregate_steps",
    "build_term",
    "hookimpl",
    "open_agent_template",
    "open_generator",
    "open_judge",
    "open_model",
    "register_agent_template",
    "register_callback",
    "register_command",
    "register_dataset",
    "register_engine",
    "register_evaluator",
    "register_exporter",
    "register_hooks",
    "register_hub",
    "register_loss",
    "register_loss_scale",
    "register_metric",
    "register_multi_turn",
    "register_optimizer",
    "register_orm",
    "register_pool",
    "register_prm",
    "register_scheduler",
    "register_trainer",
    "register_tuner",
    "report_failure",
    "require_between",
    "require_nonnegative",
    "require_positive",
    "run_folder",
    "run_python",
    "withheld",
]
"""Every name that plugin authors may import. Adding one is a decision; taking one away breaks somebody."""
