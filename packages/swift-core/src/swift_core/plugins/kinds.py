"""Every kind of plugin: its entry-point group, the key of a run file that chooses it, and its contract.

This table is the whole list. A kind is one entry-point group; the value of an entry point is `module:attribute`.
"""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """One kind of plugin."""

    name: str
    """Its name on the command line and in messages: `swift plugins list --kind loss`."""

    group: str
    """Entry-point group."""

    key: str
    """The key of a run file, or the command, that chooses it."""

    meaning: str
    """What such a plugin is, in one line."""

    contract: str
    """The type in `swift_core.plugin_api` that says what it must do."""

    context: tuple[str, ...] = ()
    """Keyword-only parameters that core fills in when it calls a function plugin: they are not options."""

    @property
    def words(self) -> str:
        """The name as people say it: `loss scale`."""
        return self.name.replace("_", " ")


_TABLE = (
    Kind(
        "loss",
        "swift.losses",
        "train.loss_type, train.loss_kwargs",
        "What training minimises.",
        "Loss",
        ("labels", "loss_scale", "num_items_in_batch"),
    ),
    Kind(
        "loss_scale",
        "swift.loss_scales",
        "train.loss_scale",
        "How much each part of an answer counts in the loss.",
        "LossScale",
    ),
    Kind(
        "optimizer",
        "swift.optimizers",
        "train.optimizer_type, train.optimizer_kwargs",
        "How weights follow gradients.",
        "OptimizerFactory",
    ),
    Kind(
        "scheduler",
        "swift.schedulers",
        "train.lr_scheduler_type, train.lr_scheduler_kwargs",
        "How the learning rate changes over the steps.",
        "SchedulerFactory",
        ("num_warmup_steps", "num_training_steps"),
    ),
    Kind(
        "tuner",
        "swift.tuners",
        "train.tuner_strategy, train.tuner_kwargs",
        "Which part of a model is trained, and how it is saved.",
        "Tuner",
    ),
    Kind("metric", "swift.metrics", "train.metrics", "What is measured on held-out data beside the loss.", "Metric"),
    Kind("callback", "swift.callbacks", "train.callbacks", "What happens at moments of training.", "Callback"),
    Kind("trainer", "swift.trainers", "train.stage", "A training procedure.", "Procedure"),
    Kind(
        "agent_template",
        "swift.agent_templates",
        "data.agent_template",
        "How tools and their calls are written in a conversation.",
        "AgentTemplate",
    ),
    Kind(
        "dataset",
        "swift.datasets",
        "data.format",
        "A row format: what columns mean and how they become records.",
        "DatasetFormat",
    ),
    Kind("orm", "swift.orms", "reward.orms", "An outcome reward: what a whole answer is worth.", "OutcomeReward"),
    Kind(
        "prm", "swift.prms", "reward.prms", "A process reward: what each step of an answer is worth.", "ProcessReward"
    ),
    Kind("engine", "swift.engines", "rollout.engine", "What generates answers during training.", "Engine"),
    Kind(
        "multi_turn",
        "swift.multi_turns",
        "rollout.multi_turn, rollout.multi_turn_kwargs",
        "What answers the model between its turns: a tool, an environment.",
        "MultiTurn",
    ),
    Kind(
        "pool",
        "swift.pools",
        "plugins.sandbox.pool, plugins.sandbox.pool_kwargs",
        "Where the confined processes of rewards and metrics run.",
        "Pool",
    ),
    Kind("hub", "swift.hubs", "model.hub", "A model source: from a model id to a local folder.", "Hub"),
    Kind(
        "exporter", "swift.exporters", "swift export --to", "What turns a trained model into another form.", "Exporter"
    ),
    Kind(
        "evaluator", "swift.evaluators", "swift eval --with", "What judges a trained model on a benchmark.", "Evaluator"
    ),
    Kind(
        "command",
        "swift.commands",
        "its name on the command line",
        "A sub-command of swift; core's own names win.",
        "Command",
    ),
    Kind(
        "hooks",
        "swift.hooks",
        "plugins.enable",
        "An observer of the whole run, called at the moments of `hookspecs.py`.",
        "Hooks",
    ),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _TABLE}
GROUPS: dict[str, Kind] = {kind.group: kind for kind in _TABLE}


def kind_named(word: str) -> Kind | None:
    """Return the kind a person means by `word`: its name or group, in singular or plural, with `-` or `_`."""
    name = word.strip().lower().replace("-", "_").replace(" ", "_").removeprefix("swift.")
    return KINDS.get(name) or GROUPS.get(f"swift.{name}") or GROUPS.get(f"swift.{name}s")
