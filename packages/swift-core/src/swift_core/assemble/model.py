"""The model and its tokenizer: found or fetched by a model source, loaded in the right type, on the right device."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.assemble.broken_part import named, told
from swift_core.assemble.data_only import require_weights_as_data
from swift_core.assemble.device_map import home_of
from swift_core.assemble.dtype import resolve_dtype, resolve_threads
from swift_core.assemble.encoder import processor_template
from swift_core.assemble.head import NAMES, OF_CLASSES, model_class, settle_head
from swift_core.errors import Problem, SwiftError
from swift_core.plugins.registry import installed
from swift_core.plugins.remote_code import grant, is_commit, may_run, refusal
from swift_core.resolve.machine import Machine, this_machine
from swift_core.resolve.model_facts import read_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from swift_core.assemble.encoder import HfEncoder
    from swift_core.contracts.handover import RunPlan
    from swift_core.contracts.settings import DeviceSettings, RunSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """How weights are loaded."""

    dtype: str = "float32"
    attn_implementation: str = "sdpa"
    quantization_bit: int = 0
    shards_weights: bool = False
    """Whether quantised weights will be cut into pieces, which must then look like numbers."""

    head: str = "causal_lm"
    """Output head: `causal_lm`, `sequence_classification` or `token_classification`."""

    head_config: Mapping[str, Any] = field(default_factory=dict)
    """What the model's configuration says of a classification head: `num_labels`, `id2label`, ..."""

    seed: int = 0
    """Of a head that is drawn."""

    device_map: Mapping[str, int | str] | None = None
    """Which module lies on which device; None puts all on one."""

    tensor_parallel_size: int = 1
    """Processes among which the matrices are cut."""

    tp_plan: Mapping[str, str] = field(default_factory=dict)
    """Rules that differ from those of the model's family."""


def load_model(
    plan: RunPlan,
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    head_config: Mapping[str, Any] | None = None,
    device_map: Mapping[str, int | str] | None = None,
) -> PreTrainedModel:
    """Return the untrained model of `plan`, on its device; set torch's threads.

    Args:
        plan: The run.
        folder: Where the model lies: `fetch`.
        tokenizer: Its tokenizer: `tokenizer_for`.
        head_config: What the configuration says of a classification head, where the procedure's model has one.
        device_map: Which module lies on which device: `device_map_of`.

    Raises:
        SwiftError: the model cannot be loaded or used.
    """
    settings = plan.settings
    set_threads(settings.device, folder)
    head = str(plan.procedure.source.declared.get("model_head", "causal_lm"))
    loading = loading_for(settings, plan.load(plan.tuner), folder)
    loading = replace(
        loading, head=head, head_config=head_config or {}, seed=settings.train.seed, device_map=device_map
    )
    loading = _with_cut(plan, loading)
    model = _told(plan, "model.model_id", load_weights, folder, loading)
    if head == "causal_lm":
        model.generation_config.pad_token_id = tokenizer.pad_token_id
    else:
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id  # transformers refuses batches without
    _require_rows_for(plan, tokenizer, model)
    if plan.hub.plugin.name == "huggingface":
        model.config._name_or_path = settings.model.model_id  # what the adapter is for, and not where it lay
    return model if device_map or loading.tensor_parallel_size > 1 else placed(model, compute_device(settings.device))


def load_reference(plan: RunPlan, model: PreTrainedModel) -> PreTrainedModel | None:
    """Return a frozen reference model, or None when the tuner can make `model` behave as before training.

    A reference that follows the policy (`sync_ref_model`) is always a model of its own.

    Args:
        plan: The run.
        model: The model before the tuner touched it.

    Raises:
        SwiftError: `model.ref_model_id` cannot be loaded, or has another vocabulary.
    """
    if plan.settings.model.ref_model_id:
        return _frozen(_other_model(plan, model, "model.ref_model_id", plan.settings.model.ref_model_id))
    if not plan.settings.train.sync_ref_model and plan.create(plan.tuner).reference(model) is not None:
        return None
    if plan.parallel.method == "tp":  # a copy would run the hooks of the model that it is a copy of
        return _frozen(_loaded_again(plan))
    return _frozen(copy.deepcopy(model))


def _with_cut(plan: RunPlan, loading: Loading) -> Loading:
    """Return how a model is loaded whose matrices the plan cuts."""
    size, rules = plan.settings.device.tensor_parallel_size, plan.parallel.values.get("tp_plan", {})
    shards_weights = plan.parallel.method == "fsdp2"
    return replace(loading, tensor_parallel_size=size, tp_plan=rules, shards_weights=shards_weights)


def _loaded_again(plan: RunPlan) -> PreTrainedModel:
    folder = fetch(plan, plan.settings.model.model_id, "model.model_id")
    loading = loading_for(plan.settings, plan.load(plan.tuner), folder)
    loading = _with_cut(plan, loading)
    model: PreTrainedModel = _told(plan, "model.model_id", load_weights, folder, loading)
    return model


def load_teacher(plan: RunPlan, model: PreTrainedModel) -> PreTrainedModel | None:
    """Return the frozen teacher of a procedure that needs one, None for others.

    Raises:
        SwiftError: `model.teacher_model_id` cannot be loaded, or has another vocabulary than `model`.
    """
    if not plan.procedure.source.declared.get("needs_teacher"):
        return None
    return _frozen(_other_model(plan, model, "model.teacher_model_id", plan.settings.model.teacher_model_id))


def _other_model(plan: RunPlan, model: PreTrainedModel, key: str, model_id: str) -> PreTrainedModel:
    folder = fetch(plan, model_id, key)
    loading = Loading(
        dtype=str(model.dtype).removeprefix("torch."), attn_implementation=plan.settings.model.attn_implementation
    )
    reference = _told(plan, key, load_weights, folder, loading)
    own, other = (each.config.get_text_config().vocab_size for each in (model, reference))
    if own != other:
        message = (
            f"the model of {key} has {other} tokens and the trained one {own}; log-probabilities can only be compared "
            "over one vocabulary"
        )
        raise SwiftError(Problem("reference-vocabulary", message, plan.config.place(key), "use a model of one family"))
    return placed(reference, home_of(model))


def placed(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    """Return `model` on `device`; quantised weights stay where they were loaded, since they cannot be moved."""
    untyped: Any = model  # transformers' own annotations of `to` are wrong
    result: PreTrainedModel = model if getattr(model, "is_quantized", False) else untyped.to(device)
    return result


def _frozen(model: PreTrainedModel) -> PreTrainedModel:
    model.requires_grad_(False)
    model.eval()
    return model


def fetch(plan: RunPlan, model_id: str, key: str) -> Path:
    """Return the local folder of `model_id`, from the plan's source or, for another id, the first that claims it."""
    base = plan.config.path.parent
    hub = plan.create(plan.hub)
    if model_id != plan.settings.model.model_id and not hub.claims(model_id, base):
        hub = _first_claiming(plan, model_id, key)
    try:
        with told(plan, plan.hub, but=(ValueError,)):
            folder: Any = fetched(hub, model_id, plan.settings.model.revision, base, plan.remote_code)
    except ValueError as error:
        message = f"{named(plan.hub)}: {error}."
        step = f"mend {key}, or see swift doctor"
        raise SwiftError(Problem("model-unavailable", message, plan.config.place(key), step)) from error
    if not isinstance(folder, Path) or not folder.is_dir():
        message = f"fetch of {named(plan.hub)} must return a folder that is there, as a Path, got {folder!r}."
        raise SwiftError(Problem("broken-plugin", message, plan.config.place(key), plan.hub.plugin.info_command))
    return folder


def fetched(hub: Any, model_id: str, revision: str, base: Path, remote_code: Mapping[str, str]) -> Path:
    """Return the local folder of `model_id`; its own code may run afterwards where `remote_code` pins it.

    Raises:
        ValueError: It cannot be had.
        SwiftError: Its code is not what is pinned.
    """
    pin = remote_code.get(model_id, "")
    folder: Path = hub.fetch(model_id, pin if is_commit(pin) else revision, base)
    if pin:
        if is_commit(pin) and hasattr(hub, "fetch_code"):
            hub.fetch_code(model_id, pin)
        grant(model_id, folder, pin)
    return folder


def _first_claiming(plan: RunPlan, model_id: str, key: str) -> Any:
    """Return the first of core's own sources that knows `model_id`."""
    for spec in installed().specs("hub"):
        if spec.first_party:
            hub = plan.create(replace(plan.hub, plugin=spec, options={}))
            if hub.claims(model_id, plan.config.path.parent):
                return hub
    message = f"no model source knows {model_id!r}"
    raise SwiftError(Problem("unknown-model", message, plan.config.place(key), "swift plugins list --kind hub"))


def _told(plan: RunPlan, key: str, work: Any, *arguments: Any) -> Any:
    """Return `work(*arguments)`; its ValueError becomes an error at `key` of the run file."""
    try:
        return work(*arguments)
    except ValueError as error:
        problem = Problem("model-unavailable", f"{error}.", plan.config.place(key), f"mend {key}, or see swift doctor")
        raise SwiftError(problem) from error


def loading_for(settings: RunSettings, tuner: Any, folder: Path) -> Loading:
    """Return how the weights in `folder` are loaded under `settings`; `tuner` is the plugin or its class."""
    trains_adapter = bool(getattr(tuner, "trains_adapter", False))
    choice = resolve_dtype(settings, trains_adapter, read_model(folder).num_parameters, _machine())
    return Loading(
        dtype=choice.name,
        attn_implementation=settings.model.attn_implementation,
        quantization_bit=settings.model.quantization_bit,
    )


def _machine() -> Machine:
    """Return what this machine has, with only the GPUs that torch can use for bfloat16."""
    import torch

    usable = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return replace(this_machine(), num_gpus=torch.cuda.device_count() if usable else 0)


def set_threads(device: DeviceSettings, folder: Path) -> None:
    """Set torch's CPU threads for the model in `folder`."""
    import torch

    if threads := resolve_threads(device.num_threads, read_model(folder).num_parameters):
        torch.set_num_threads(threads)


def compute_device(settings: DeviceSettings) -> torch.device:
    """Return the accelerator of this process, or the CPU."""
    import torch

    found = None if settings.use_cpu else torch.accelerator.current_accelerator(check_available=True)
    if found is None:
        return torch.device("cpu")
    return torch.device(found.type, int(os.environ.get("LOCAL_RANK", 0)))


def tokenizer_for(plan: RunPlan, folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of `folder` with the run file's chat template."""
    from swift_core.assemble.encoder import read_chat_template

    tokenizer: PreTrainedTokenizerBase = _told(plan, "model.model_id", load_tokenizer, folder)
    if template := read_chat_template(plan.config):
        tokenizer.chat_template = template
    return tokenizer


def encoder_of(plan: RunPlan, tokenizer: PreTrainedTokenizerBase, folder: Path) -> HfEncoder:
    """Return the encoder of the plan's model, as its procedure uses it."""
    from swift_core.assemble.vision.encoder import encoder_for

    head = str(plan.procedure.source.declared.get("model_head", "causal_lm"))
    arguments = tokenizer, plan.settings.model.chat_template_kwargs, folder, head
    encoder: HfEncoder = _told(plan, "model.model_id", encoder_for, *arguments)
    return encoder


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of `folder`; one without a padding token pads with its end token, which no mask looks at.

    Raises:
        ValueError: there is none, or it has no end token.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=may_run(folder))
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ValueError(f"the tokenizer of {folder} cannot be loaded: {_reason(folder, error)}") from error
    if tokenizer.eos_token is None:
        raise ValueError(f"the tokenizer of {folder} has no end token, so the model could not learn where to stop")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        tokenizer.chat_template = processor_template(folder) or None
    return tokenizer


_BITS_ON_CPU = "0.50"
"""First version of bitsandbytes that was tried without a GPU."""


def load_weights(folder: Path, loading: Loading) -> PreTrainedModel:
    """Return the model of `folder` on the CPU (quantised weights: on the GPU), with the head that is asked for.

    A classification head that the folder has no weights for is drawn by `loading.seed`.

    Raises:
        ValueError: it is no such model, or weights are missing in it.
    """
    import torch
    from safetensors import SafetensorError

    from swift_core.quiet import no_load_report, quiet_loading

    quiet_loading()
    require_weights_as_data(folder)
    load = model_class(loading.head, folder).from_pretrained
    try:
        with no_load_report():  # a new head is meant to be missing, and anything else that is becomes an error below
            model, info = load(
                folder,
                dtype=getattr(torch, loading.dtype),
                attn_implementation=loading.attn_implementation,
                quantization_config=_quantization(loading),
                device_map=dict(loading.device_map) if loading.device_map else None,
                distributed_config=_cut(loading),
                trust_remote_code=may_run(folder),
                use_safetensors=True,
                output_loading_info=True,
                **loading.head_config,
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"the model of {folder} cannot be loaded: {_reason(folder, error)}") from error
    missing = sorted(info["missing_keys"])
    new = [name for name in missing if loading.head in OF_CLASSES and name.partition(".")[0] in NAMES]
    if lacking := [name for name in missing if name not in new]:
        raise ValueError(f"the weights in {folder} lack {len(lacking)} tensors of the model, {lacking[0]} among them")
    loaded: PreTrainedModel = model
    if loading.head in OF_CLASSES:
        settle_head(loaded, new, loading.seed)
    return loaded


def _cut(loading: Loading) -> Any:
    """Return transformers' setting for matrices that are cut among processes, None for whole ones."""
    if loading.tensor_parallel_size == 1:
        return None
    from transformers.distributed.configuration_utils import DistributedConfig

    rules = dict(loading.tp_plan) or None
    return DistributedConfig(tp_size=loading.tensor_parallel_size, tp_plan=rules)


def _quantization(loading: Loading) -> Any:
    """Return transformers' setting for 4 or 8 bits, None for neither; raise ValueError where it cannot be had."""
    if not loading.quantization_bit:
        return None
    import importlib.util
    from importlib.metadata import version

    import torch
    from packaging.version import Version
    from transformers import BitsAndBytesConfig

    if importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError(f"{loading.quantization_bit}-bit weights need the package bitsandbytes")
    if loading.quantization_bit == 4 and not torch.cuda.is_available():
        raise ValueError("4-bit weights give gradients on a GPU only; 8-bit ones do on a CPU, too")
    if not torch.cuda.is_available() and Version(version("bitsandbytes")) < Version(_BITS_ON_CPU):
        raise ValueError(f"{loading.quantization_bit}-bit weights on a CPU need bitsandbytes {_BITS_ON_CPU} or newer")
    if loading.quantization_bit == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    # accelerate leaves bytes out of what FSDP2 cuts; the same bits as numbers of the other weights' type it takes.
    storage = {"bnb_4bit_quant_storage": loading.dtype} if loading.shards_weights else {}
    return BitsAndBytesConfig(
        load_in_4bit=True,
        **storage,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, loading.dtype),
    )


def _reason(folder: Path, error: Exception) -> str:
    return refusal(folder, error) or _first_line(error)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _require_rows_for(plan: RunPlan, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Refuse a tokenizer with more tokens than the model has embeddings for."""
    embeddings: Any = getattr(model, "text_model", model).get_input_embeddings()
    rows = embeddings.weight.shape[0]
    if len(tokenizer) > rows:
        message = f"the tokenizer has {len(tokenizer)} tokens and the model embeddings for {rows}"
        place = plan.config.place("model.model_id")
        raise SwiftError(Problem("vocabulary-mismatch", message, place, "use the model's own tokenizer"))
