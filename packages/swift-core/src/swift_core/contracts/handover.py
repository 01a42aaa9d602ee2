"""What each part of a run hands to the next: RunConfig -> RunPlan -> Parts -> RunResult.

The folders `config`, `resolve`, `assemble`, `train` and `artifacts` do not import each other; they meet here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from swift_core.contracts.parallel import Parallel, parallel_of
from swift_core.contracts.plugin import PluginSource, PluginSpec
from swift_core.contracts.settings import RunSettings, WeightSchedule
from swift_core.errors import Place

if TYPE_CHECKING:
    import pluggy
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

    from swift_core.contracts.aggregation import Aggregation
    from swift_core.contracts.data import Record, TextEncoder
    from swift_core.contracts.reward import OutcomeReward


@dataclass(frozen=True, slots=True)
class ValueOrigin:
    """Where a value of the run comes from."""

    kind: Literal["default", "file", "command line", "environment", "plugin default", "chosen"]
    place: Place | None = None
    note: str = ""
    """What a reader should know: `alias of train.loss_kwargs.beta`, `bfloat16 matrix units found`."""


@dataclass(frozen=True, slots=True)
class RunConfig:
    """A run file that was read and is well formed; names in it are not yet looked up."""

    path: Path
    settings: RunSettings
    origins: Mapping[str, ValueOrigin]
    """By dotted key (`train.loss_kwargs.beta`, `train.callbacks.0.name`); a key not in it has its default."""

    key_places: Mapping[str, Place] = field(default_factory=dict)
    """Where each key itself was written; `origins` has the places of the values."""

    shorthands: Mapping[str, Any] = field(default_factory=dict)
    """Short keys that only the chosen parts give a meaning, by the key as written: `{"train.lora_rank": 8}`."""

    def place(self, key: str) -> Place | None:
        """Return where the value of `key`, or else its nearest parent that was written, stands."""
        while key:
            if key in self.origins:
                return self.origins[key].place
            key = key.rpartition(".")[0]
        return None


@dataclass(frozen=True, slots=True)
class PartPlan:
    """One plugin of the run with its options, checked against its source."""

    kind: str
    key: str
    """The key that chose it: `train.loss_type`, `train.callbacks.0`."""

    plugin: PluginSpec
    source: PluginSource
    options: Mapping[str, Any]
    """Options that are given to the constructor; defaults of the plugin are not repeated here."""

    origins: Mapping[str, ValueOrigin]
    """Of each option in `options`."""

    weight: float = 1.0
    """Of a reward; 1 elsewhere."""

    aggregate: Aggregation | None = None
    """Of a process reward: what its scores of steps become; None elsewhere."""

    schedule: WeightSchedule | None = None
    """Of a reward whose weight changes; `weight` is that of the first step."""

    when: Mapping[str, Any] = field(default_factory=dict)
    """Of a reward: the values that columns have in the rows it scores; empty: it scores all."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything that will be done, and nothing done yet."""

    config: RunConfig
    procedure: PartPlan
    loss: PartPlan
    optimizer: PartPlan
    scheduler: PartPlan
    tuner: PartPlan
    hub: PartPlan
    metrics: tuple[PartPlan, ...]
    callbacks: tuple[PartPlan, ...]
    orms: tuple[PartPlan, ...]
    prms: tuple[PartPlan, ...]
    engine: PartPlan | None
    """What generates, in stages that sample; None in others."""

    hooks: tuple[PartPlan, ...]
    loss_scales: tuple[PartPlan, ...]
    """What weighs the tokens of answers; none: every trained one counts 1."""

    formats: tuple[PartPlan, ...]
    """The dataset formats that rows may have: the one named, or all that may be detected."""

    agent_template: PartPlan | None
    """How tools and their calls are written; None leaves it to the model's chat template."""

    notes: tuple[str, ...]
    """Decisions a user should see: aliases resolved, defaults chosen by the machine."""

    create: Callable[[PartPlan], Any]
    """Import a part and build it from its options; raises SwiftError with the place in the run file."""

    load: Callable[[PartPlan], Any]
    """Import a part without building it (optimizers and schedulers are built with live objects)."""

    permit: Callable[[PartPlan], None]
    """Check that a part may run, without importing it: it runs in another process."""

    multi_turn: PartPlan | None = None
    """What answers the model between its turns; None: it has one."""

    remote_code: Mapping[str, str] = field(default_factory=dict)
    """Models whose own code may run, as the command line said -> the commit or hash that pins it."""

    pool: PartPlan | None = None
    """Where the confined processes of rewards and metrics run; None where there are none of either."""

    @property
    def settings(self) -> RunSettings:
        """The sections of the run file."""
        return self.config.settings

    @property
    def parallel(self) -> Parallel:
        """How its processes share the run."""
        return parallel_of(self.settings.device)

    @property
    def rewards(self) -> tuple[PartPlan, ...]:
        """The outcome rewards, then the process rewards."""
        return (*self.orms, *self.prms)

    @property
    def parts(self) -> tuple[PartPlan, ...]:
        """Every chosen part, in the order they are shown; formats are not among them."""
        single = (self.procedure, self.loss, self.optimizer, self.scheduler, self.tuner, self.hub)
        pool = self.pool if "plugins.sandbox.pool" in self.config.origins else None  # this machine goes without saying
        some = tuple(part for part in (self.engine, self.multi_turn, pool, self.agent_template) if part)
        return (*single, *some, *self.loss_scales, *self.metrics, *self.callbacks, *self.rewards, *self.hooks)


@dataclass(slots=True)
class RewardPart:
    """A live reward with its name in the run file."""

    name: str
    weight: float
    """In the sum of the rewards; procedures change it where it has a schedule."""

    score: OutcomeReward
    """Of a process reward, called alike; its scores of steps are made one."""

    kind: Literal["orm", "prm"] = "orm"
    schedule: WeightSchedule | None = None


@dataclass(slots=True)
class Parts:
    """Live objects, ready to train."""

    plan: RunPlan
    directory: Path
    """The run directory; it exists and is empty but for what core wrote."""

    cache: Path
    """The user's cache folder."""

    model: PreTrainedModel
    """The model with the tuner applied."""

    tokenizer: PreTrainedTokenizerBase
    encoder: TextEncoder
    """The tokenizer with its chat template, as data was encoded."""

    tuner: Any
    procedure: Any
    loss: Any
    reference: PreTrainedModel | None
    """A frozen reference model; None when none is needed or the tuner can switch its adapters off."""

    teacher: PreTrainedModel | None
    """A frozen teacher, in stages that distil; None in others."""

    train_dataset: Sequence[Any]
    """Encoded rows; with `__len__` and `__getitem__` a sequence is all that torch's loader needs."""

    eval_dataset: Sequence[Any] | None
    eval_records: Sequence[Record]
    """The held-out rows before encoding, for metrics that generate and for samples in the report."""

    collator: Callable[[Sequence[Any]], Any]
    make_optimizer: Callable[[torch.nn.Module], torch.optim.Optimizer]
    make_scheduler: Callable[[torch.optim.Optimizer, int, int], Any]
    """Called with (optimizer, num_warmup_steps, num_training_steps)."""

    metrics: Sequence[tuple[str, Any]]
    rewards: Sequence[RewardPart]
    """Outcome and process rewards, each with one score per answer."""

    engine: Any
    """What generates, in stages that sample; None in others."""

    callbacks: Sequence[TrainerCallback]
    hooks: pluggy.PluginManager
    facts: dict[str, Any] = field(default_factory=dict)
    """Counts worth keeping: rows read, dropped, truncated, trained tokens, parameters."""

    turns: Any = None
    """What answers the model between its turns, in stages that sample; None: it has one."""

    resume_from: Path | None = None
    goes_on: bool = False
    """Whether the run directory is of an earlier start of this run."""


@dataclass(slots=True)
class RunResult:
    """What training left behind, before the last files are written."""

    parts: Parts
    num_steps: int
    before: Mapping[str, float]
    """Held-out metrics before training."""

    after: Mapping[str, float]
    samples: Sequence[Mapping[str, Any]]
    """Prompts with the answer before and after training, and the expected one."""

    seconds: float
    interrupted: bool = False
