"""The sections of a run file, as plain data.

Every field is a key of the run file. The annotation is its type, the default its default, the text under it its help:
the loader, `swift schema` and the docs read them from here. Names are those of `transformers.TrainingArguments` where
it has the thing. `config/` validates; the dataclasses themselves check nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Interval, MinLen

from swift_core.contracts.aggregation import Aggregation
from swift_core.contracts.parallel import Method

STRICT: dict[str, Any] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
"""How pydantic reads every section: no unknown key, no conversion from text, no infinity."""

Name = Annotated[str, MinLen(1)]
Share = Annotated[float, Interval(ge=0, lt=1)]
PositiveInt = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
ColumnValue = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """Which model is trained."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    model_id: Name
    """A local folder, a hub id, `demo:tiny`, or `gguf:PATH`."""

    hub: Name = "auto"
    """Name of the model source (`swift plugins list --kind hub`); `auto` picks the one that knows `model_id`."""

    revision: Name = "main"
    """Branch, tag or commit of a hub model."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the weights; `auto` is bfloat16 for adapters on hardware with bfloat16 matrix units, else float32."""

    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] = "sdpa"
    """Attention kernel, as in transformers."""

    ref_model_id: str = ""
    """Reference model of a preference stage; empty means the model itself before training."""

    teacher_model_id: str = ""
    """Teacher of a distillation stage."""

    teacher_top_k: PositiveInt = 64
    """Tokens of the teacher's distribution that losses on its likeliest tokens are given."""

    chat_template: str = ""
    """Path of a Jinja chat template that replaces the tokenizer's own."""

    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    """Variables handed to the chat template, such as `enable_thinking`."""

    quantization_bit: Literal[0, 4, 8] = 0
    """Load the frozen weights in so many bits (needs a GPU and bitsandbytes); 0 is off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """What the model is trained and judged on."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    dataset: Name | Annotated[list[Name], MinLen(1)]
    """A path, `path#N` (N rows drawn by seed), a folder, a hub id, a `demo:` name, or a list of them."""

    val_dataset: Name | list[Name] = field(default_factory=list)
    """Held-out data, in the same forms; judged before and after training, and every `eval_steps`."""

    split_dataset_ratio: Share = 0.0
    """Share of `dataset` held out when there is no `val_dataset`, in [0, 1); by the seed and what a row says."""

    interleave_prob: list[Positive] = field(default_factory=list)
    """How often each data set of `dataset` is drawn from, one number each; empty takes all rows of all once."""

    stopping_strategy: Literal["first_exhausted", "all_exhausted"] = "first_exhausted"
    """When mixing ends: with the first data set that has no row left, or when all rows were taken, some again."""

    streaming: bool = False
    """Read rows one by one and keep them on disk, encoded, so that none stays in memory (JSON Lines, Parquet)."""

    num_proc: PositiveInt = 1
    """Processes that encode rows."""

    cache: bool = False
    """Keep encoded rows on disk, and read them when nothing they depend on has changed (`swift cache list`)."""

    format: Name = "auto"
    """Name of the row format (`swift plugins list --kind dataset`); `auto` detects it and says which."""

    columns: dict[str, Name] = field(default_factory=dict)
    """What a column is called: `{prompt: question, completion: answer}` reads `question` where `prompt` is meant."""

    system: str = ""
    """System message put before conversations that have none."""

    agent_template: str = ""
    """How tools and their calls are written (`swift plugins list --kind agent_template`); empty: by the model's
    chat template."""

    agent_template_kwargs: dict[str, Any] = field(default_factory=dict)
    """Options of the agent template."""

    image_folder: str = ""
    """Where relative paths of images start; empty: the folder of the data file."""

    allow_image_urls: bool | list[Name] = False
    """Fetch images that rows name by URL: from every public host over https, or from the hosts of a list."""

    max_image_pixels: Annotated[int, Interval(ge=1, le=178_956_970)] = 89_478_485
    """Width times height of an image, at most: a small file may unpack to gigabytes."""

    bbox_scale: Literal["norm1000", "norm1", "pixels"] = "norm1000"
    """What boxes in `objects` are written in: thousandths of the image, shares of it, or its pixels."""

    bbox_text: Name = "[{x1}, {y1}, {x2}, {y2}]"
    """What is written for `<bbox>`."""

    ref_text: Name = "{ref}"
    """What is written for `<ref-object>`."""

    max_length: PositiveInt = 2048
    """Longest sequence in tokens."""

    overlong: Literal["error", "drop", "truncate"] = "error"
    """What becomes of a longer one. `drop` and `truncate` are counted; `truncate` never cuts off the whole answer."""

    step_separator: str = "\n"
    """What stands after each step of a solution (stage prm)."""

    train_on_last_step_only: bool = False
    """Leave out the labels of all steps but the last (stage prm)."""

    shuffle: bool = True
    """Draw training rows in an order given by `train.seed`; false keeps the order of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRef:
    """One plugin of a list: its name and options. A plain string stands for a name without options."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    name: Name
    """`name`, `dist:name`, or `./file.py:attribute`."""

    kwargs: dict[str, Any] = field(default_factory=dict)
    """Options of the plugin (`swift plugins info KIND/NAME`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSchedule:
    """A weight that changes over the optimizer steps."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    schedule: Literal["linear", "cosine", "step"] = "linear"
    """How it goes from `start` to `end`: evenly, slowly at both ends, or at once when `steps` are over."""

    start: float
    """Weight of the first step."""

    end: float
    """Weight from step `steps` on."""

    steps: PositiveInt
    """Optimizer steps that the change takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardRef(PartRef):
    """One reward of a list."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    weight: float | WeightSchedule = 1.0
    """Factor in the sum of the rewards, or how it changes; 0 only reports it."""

    when: dict[str, ColumnValue | list[ColumnValue]] = field(default_factory=dict)
    """Rows that are scored: `{task: math}`, or `{task: [math, logic]}`, by the value of a column; empty scores all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRewardRef(RewardRef):
    """One process reward of a list."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    aggregate: Aggregation = "min"
    """The score of an answer from those of its steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSettings:
    """How generated answers are scored."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    orms: list[RewardRef] = field(default_factory=list)
    """Outcome rewards (`swift plugins list --kind orm`)."""

    prms: list[StepRewardRef] = field(default_factory=list)
    """Process rewards (`swift plugins list --kind prm`); the scores of an answer's steps become one."""

    on_error: Literal["raise", "mask", "zero"] = "mask"
    """What becomes of an answer that a reward fails on (timeout, crash, network): the run stops, no score, or 0."""

    max_failure_rate: Share = 0.05
    """Share of the answers that a reward may fail on before the run stops, in [0, 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSettings:
    """How answers are drawn in stages that train on the model's own."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    engine: Name = "transformers"
    """Name of what generates (`swift plugins list --kind engine`)."""

    engine_kwargs: dict[str, Any] = field(default_factory=dict)
    """Options of the engine."""

    num_generations: PositiveInt = 8
    """Answers to each prompt: the group that rewards are compared in."""

    temperature: Positive = 1.0
    """Above 1 flattens what is drawn from, below sharpens it."""

    top_p: Annotated[float, Interval(gt=0, le=1)] = 1.0
    """Draw from the likeliest tokens that together have this probability; 1 draws from all."""

    top_k: Annotated[int, Ge(0)] = 0
    """Draw from so many of the likeliest tokens; 0 draws from all."""

    multi_turn: str = ""
    """Name of what answers the model between its turns (`swift plugins list --kind multi_turn`); empty: one turn."""

    multi_turn_kwargs: dict[str, Any] = field(default_factory=dict)
    """Options of `multi_turn`."""

    max_turns: PositiveInt = 4
    """Turns of the model in one answer, with `multi_turn`; `train.max_completion_length` is of all turns together."""

    num_iterations: PositiveInt = 1
    """Optimizer steps on the same answers."""

    advantages: Literal["auto", "group", "group_mean", "batch", "leave_one_out", "none"] = "auto"
    """What a reward is compared with; `auto` is what the paper of the loss says."""

    kl_coef: NonNegative = 0.05
    """Weight of the divergence from the reference in each token's reward (stage `ppo`)."""

    gamma: Annotated[float, Interval(gt=0, le=1)] = 1.0
    """Discount of later rewards (stage `ppo`), in (0, 1]."""

    lam: Annotated[float, Interval(ge=0, le=1)] = 0.95
    """Between 0, one step, and 1, the whole rest of the answer, in advantage estimates (stage `ppo`)."""

    lmbda: Annotated[float, Interval(ge=0, le=1)] = 0.5
    """Share of distillation steps on the student's own answers, in [0, 1]; the others take the data's."""

    mask_truncated: bool = False
    """Leave answers that were cut at `train.max_completion_length` out of the loss."""

    missing_eos_penalty: NonNegative = 0.0
    """Taken off the reward of an answer that was cut at `train.max_completion_length`, >= 0."""

    max_resample_times: Annotated[int, Ge(0)] = 0
    """Draw again, so often at most, for prompts whose answers all have the same reward (dynamic sampling)."""

    log_completions: Annotated[int, Ge(0)] = 2
    """Prompts of a logged step whose answers are written to `completions.jsonl`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamGroupRef:
    """Parameters that are trained with a learning rate or with options of their own."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    modules: Name | Annotated[list[Name], MinLen(1)]
    """Parts of parameter names, or globs over whole names."""

    lr_scale: NonNegative = 1.0
    """Factor of the learning rate, >= 0."""

    kwargs: dict[str, Any] = field(default_factory=dict)
    """Options of the optimizer for them, such as `{weight_decay: 0.0}` or `{rank: 64}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How the model is trained."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    stage: Name = "sft"
    """Procedure: `pt`, `sft`, `dpo`, ... (`swift plugins list --kind trainer`), or the name of a pair loss."""

    loss_type: Name = "auto"
    """Name of the loss; `auto` is the procedure's own."""

    loss_kwargs: dict[str, Any] = field(default_factory=dict)
    """Options of the loss."""

    loss_scale: list[PartRef] = field(default_factory=list)
    """What weighs the tokens of conversations (`swift plugins list --kind loss_scale`), a list or names joined by
    `+`; weights are multiplied. Empty means `default`: assistant turns count 1."""

    optimizer_type: Name = "adamw"
    """Name of the optimizer."""

    optimizer_kwargs: dict[str, Any] = field(default_factory=dict)
    """Options of the optimizer."""

    param_groups: list[ParamGroupRef] = field(default_factory=list)
    """Parameters with a learning rate, decay or optimizer options of their own; the first entry that fits counts."""

    layer_lr_decay: Annotated[float, Interval(gt=0, le=1)] = 1.0
    """Factor of the learning rate from each layer to the one below it, in (0, 1]; embeddings are below the first."""

    update_in_backward: bool = False
    """Move each parameter in the backward pass as soon as its gradient is there, and free the gradient."""

    lr_scheduler_type: Name = "linear"
    """Name of the learning-rate schedule."""

    lr_scheduler_kwargs: dict[str, Any] = field(default_factory=dict)
    """Options of the schedule."""

    tuner_strategy: Name = "lora"
    """Name of the tuner: what part of the model is trained."""

    tuner_kwargs: dict[str, Any] = field(default_factory=dict)
    """Options of the tuner."""

    metrics: list[PartRef] = field(default_factory=list)
    """Metrics computed on the held-out data beside the loss."""

    callbacks: list[PartRef] = field(default_factory=list)
    """Callbacks, called in this order."""

    learning_rate: Positive = 5e-5
    """Peak learning rate, > 0."""

    weight_decay: NonNegative = 0.0
    """Decoupled weight decay of matrices; biases and norms have none."""

    adam_beta1: Share = 0.9
    """First-moment decay of the Adam family, in [0, 1)."""

    adam_beta2: Share = 0.999
    """Second-moment decay of the Adam family, in [0, 1)."""

    adam_epsilon: Positive = 1e-8
    """Term that keeps Adam's denominator from zero, > 0."""

    max_grad_norm: NonNegative = 1.0
    """Global gradient norm above which gradients are scaled down; 0 turns clipping off."""

    on_nonfinite: Literal["stop", "skip"] = "stop"
    """What becomes of a step whose loss or gradient is no finite number: the run stops, or the step is left out."""

    nonfinite_limit: PositiveInt = 3
    """Such steps in a row that `on_nonfinite: skip` leaves out before the run stops all the same."""

    num_train_epochs: Positive = 3.0
    """Passes over the data; `max_steps` wins when it is positive."""

    max_steps: Annotated[int, Ge(-1)] = -1
    """Optimizer steps, not 0; -1 leaves it to `num_train_epochs`."""

    warmup_steps: NonNegative = 0
    """Steps of linear warm-up; a value below 1 is a share of all steps."""

    per_device_train_batch_size: PositiveInt = 8
    """Rows of one micro-batch on one device."""

    per_device_eval_batch_size: PositiveInt = 8
    """Rows of one evaluation batch on one device."""

    gradient_accumulation_steps: PositiveInt = 1
    """Micro-batches of one optimizer step."""

    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""

    seed: Annotated[int, Interval(ge=0, lt=2**32)] = 42
    """Seed of everything random in a run."""

    logging_steps: Positive = 10
    """Steps between two lines of metrics; a value below 1 is a share of all steps."""

    eval_strategy: Literal["no", "steps", "epoch"] = "no"
    """When held-out data is judged besides before and after training."""

    eval_steps: Positive = 500
    """Steps between two evaluations with `eval_strategy: steps`."""

    eval_generation_rows: Annotated[int, Ge(0)] = 100
    """Held-out prompts the model answers before and after training for metrics on generations, at most."""

    max_completion_length: PositiveInt = 128
    """Longest answer the model generates, in tokens."""

    save_strategy: Literal["no", "steps", "epoch"] = "steps"
    """When a checkpoint is kept."""

    save_steps: Positive = 500
    """Steps between two checkpoints with `save_strategy: steps`."""

    save_total_limit: PositiveInt = 2
    """Number of checkpoints kept."""

    dataloader_num_workers: Annotated[int, Ge(0)] = 0
    """Worker processes that collate batches."""

    packing: bool = False
    """Fill each place of a batch with rows up to `data.max_length`, kept apart in the model's attention (pt, sft)."""

    share_prompt: Literal["auto"] | bool = "auto"
    """Compute the prompt of a pair once for both answers; `auto` does where it saves a tenth of the tokens or more and
    the model can. The loss stays the same."""

    precompute_ref_log_probs: bool = False
    """Compute the reference log-probabilities once before training and keep them in a cache."""

    sync_ref_model: bool = False
    """Let the reference follow the policy (TR-DPO); it is then a copy of its own, also of an adapted model."""

    ref_model_mixup_alpha: Annotated[float, Interval(gt=0, le=1)] = 0.6
    """Share of the policy in an updated reference, in (0, 1]; 1 replaces it."""

    ref_model_sync_steps: PositiveInt = 512
    """Optimizer steps between two updates of the reference."""

    report_to: list[Name] = field(default_factory=list)
    """Experiment trackers of transformers: `tensorboard`, `wandb`, ..."""

    run_name: str = ""
    """Name of the run for trackers and the report; empty means the run directory's name."""

    keep_text: bool = True
    """Write texts of rows and answers into the run directory: samples and mask preview of the report, completions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings:
    """Where the run computes."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    parallel_method: Method = "single"
    """How processes share the work; several processes mean `ddp` unless another method is named."""

    num_processes: PositiveInt = 1
    """Number of processes on all machines, one per device; `swift train --nproc` or `torchrun` starts them."""

    tensor_parallel_size: PositiveInt = 1
    """Processes that hold one model together, each a part of every layer's matrices; more than one means `tp`."""

    context_parallel_size: PositiveInt = 1
    """Processes that share one row's tokens; more than one is refused with the reason."""

    nodes: PositiveInt = 1
    """Number of machines, each with as many processes."""

    engine_kwargs: dict[str, Any] = field(default_factory=dict)
    """Options of the method that are not to have the value of its preset (`swift plan` shows them all)."""

    use_cpu: bool = False
    """Stay on the CPU although there is a GPU."""

    num_threads: Annotated[int, Ge(0)] = 0
    """CPU threads of one process; 0 chooses by model size and core count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """How rewards and metrics of others are run: in confined processes of their own."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    mode: Literal["auto", "all", "off"] = "auto"
    """`auto`: rewards, process rewards and metrics of others; `all`: ours too; `off`: none, they have all rights."""

    require: Literal["L1", "L2", "L3"] = "L1"
    """The lowest level (`swift doctor sandbox`); where the machine does not reach it, the run is refused."""

    in_process: list[Name] = field(default_factory=list)
    """Distributions, or files as written, that run in this process with all rights: for a GPU or the network."""

    timeout: Positive = 10.0
    """Seconds that one answer, or one batch of a reward that does not score answers singly, may take."""

    memory: Positive = 2.0
    """GiB of address space of a worker."""

    workers: Annotated[int, Ge(0)] = 0
    """Worker processes for each reward; 0 is one for each core, at most 8."""

    readable: list[Name] = field(default_factory=list)
    """Files and folders, relative to the run file, that they may read beside Python and what is installed."""

    pool: Name = "local"
    """Name of what keeps the processes (`swift plugins list --kind pool`): `local`, on this machine, or `ray`."""

    pool_kwargs: dict[str, Any] = field(default_factory=dict)
    """Options of the pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSettings:
    """Which installed plugins may take part. Applied before any of them is imported."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    allow: list[Name] = field(default_factory=list)
    """Distributions (patterns, with versions) that may be used; empty allows all. First-party ones always may."""

    block: list[Name] = field(default_factory=list)
    """Distributions (`acme-*`) or single plugins (`acme-losses:focal`) that may not."""

    prefer: dict[str, dict[str, Name]] = field(default_factory=dict)
    """Which distribution gives a name that two claim: `{loss: {focal: acme-losses}}`."""

    require: list[Name] = field(default_factory=list)
    """Distributions, with version specifiers, that must be installed."""

    enable: list[Name] = field(default_factory=list)
    """Names of `swift.hooks` plugins that take part in the run."""

    ms_swift_files: list[Name] = field(default_factory=list)
    """Files written for ms-swift, relative to the run file; what they register is named like an installed plugin."""

    reload: list[Name] = field(default_factory=list)
    """What is taken anew while training when its local file changes: `losses`, `rewards`, `metrics`, `callbacks`."""

    sandbox: SandboxSettings = field(default_factory=SandboxSettings)
    """How rewards and metrics of others are run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """A whole run file."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    model: ModelSettings
    data: DataSettings
    train: TrainSettings = field(default_factory=TrainSettings)
    reward: RewardSettings = field(default_factory=RewardSettings)
    rollout: RolloutSettings = field(default_factory=RolloutSettings)
    device: DeviceSettings = field(default_factory=DeviceSettings)
    plugins: PluginSettings = field(default_factory=PluginSettings)

    output_dir: Path = Path()
    """The run directory, made by the run; left out, `runs/FILE-DATE` beside the run file's own folder of work."""
