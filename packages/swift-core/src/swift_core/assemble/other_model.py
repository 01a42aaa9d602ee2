"""Models beside the one that is trained, by their id, and engines that answer with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.errors import SwiftError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

    from swift_core.contracts.data import Message, TextEncoder
    from swift_core.contracts.engine import SamplingParams

_CLASS_ENDING = {"causal_lm": "", "token_classification": "ForTokenClassification"}


def open_model(model_id: str, base: Path, head: str) -> tuple[PreTrainedModel, TextEncoder]:
    """Return a model in evaluation mode on its device, and its tokenizer.

    Raises:
        ValueError: There is no such model, or its folder has no weights of the head.
    """
    folder = find_model(model_id, base)
    return _load(folder, head), open_encoder(folder)


def find_model(model_id: str, base: Path) -> Path:
    """Return the local folder of `model_id` from the first of core's own sources that knows it."""
    from swift_core.plugins.options import build
    from swift_core.plugins.registry import installed

    registry = installed()
    for spec in registry.specs("hub"):
        hub: Any = build(registry.load(spec), {}) if spec.first_party else None
        if hub is not None and hub.claims(model_id, base):
            folder: Path = hub.fetch(model_id, "main", base)
            return folder
    raise ValueError(f"no model source knows {model_id!r}")


def open_encoder(folder: Path) -> TextEncoder:
    """Return the tokenizer of a model folder."""
    from swift_core.assemble.encoder import HfEncoder
    from swift_core.assemble.model import load_tokenizer

    return HfEncoder(load_tokenizer(folder), {})


def _load(folder: Path, head: str) -> PreTrainedModel:
    import torch
    from transformers import AutoConfig

    from swift_core.assemble.model import Loading, compute_device, load_weights, placed
    from swift_core.contracts.settings import DeviceSettings

    ending = _CLASS_ENDING[head]
    names = AutoConfig.from_pretrained(folder, trust_remote_code=False).architectures or []
    if ending and not any(name.endswith(ending) for name in names):
        raise ValueError(f"{folder} holds {' and '.join(names) or 'a model'}, and not one {ending}")
    device = compute_device(DeviceSettings())
    dtype = "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    model = placed(load_weights(folder, Loading(dtype=dtype, head=head)), device)
    model.requires_grad_(False)
    model.eval()
    return model


def configured_stops(folder: Path) -> list[int]:
    """Return the tokens that end an answer as the files of a model folder say it, without its weights."""
    from transformers import AutoConfig, GenerationConfig

    if (folder / "generation_config.json").is_file():
        found = GenerationConfig.from_pretrained(folder).eos_token_id
    else:
        found = getattr(AutoConfig.from_pretrained(folder, trust_remote_code=False), "eos_token_id", None)
    stops = found if isinstance(found, list) else [found]
    return [token for token in stops if token is not None]


def ready_engine(engine: Any, folder: Path, encoder: TextEncoder, load: Callable[[], PreTrainedModel]) -> list[int]:
    """Hand an engine what it asks for; return the tokens that end an answer.

    Args:
        engine: Built from its options.
        folder: Of the model.
        encoder: Its tokenizer.
        load: Loads the model; called for an engine that answers with it, and for no other.
    """
    from swift_core.assemble.generate import ending_ids, stop_ids

    if hasattr(engine, "use_encoder"):
        engine.use_encoder(encoder)
    if hasattr(engine, "open"):
        engine.open(folder)
    if not hasattr(engine, "attach"):
        return ending_ids(configured_stops(folder), encoder)
    model = load()
    engine.attach(model, encoder.pad_token_id)
    return stop_ids(model, encoder)


def open_generator(model_id: str, base: Path, engine: str, engine_kwargs: Mapping[str, Any]) -> EngineGenerator:
    """Return what answers with a model through an engine; raise ValueError when either cannot be had."""
    from swift_core.plugins.options import build
    from swift_core.plugins.registry import installed

    registry = installed()
    try:
        live = build(registry.load(registry.resolve("engine", engine, base)), engine_kwargs)
    except SwiftError as error:
        raise ValueError(" ".join(problem.message.rstrip(".") for problem in error.problems)) from error
    folder = find_model(model_id, base)
    encoder = open_encoder(folder)
    stops = ready_engine(live, folder, encoder, lambda: _load(folder, "causal_lm"))
    return EngineGenerator(live, encoder, tuple(stops))


@dataclass(frozen=True, slots=True)
class EngineGenerator:
    """Goes on with answers that were begun."""

    engine: Any
    encoder: TextEncoder
    stops: tuple[int, ...]

    def answers(
        self, prompts: Sequence[str | Sequence[Message]], begun: Sequence[str], params: SamplingParams, /
    ) -> list[list[str]]:
        """Return `params.num_answers` continuations of each answer: what comes after what was begun."""
        from dataclasses import replace

        from swift_core.assemble.generate import prompt_ids

        ids = [
            [*prompt_ids(self.encoder, prompt), *self.encoder.encode(start)]
            for prompt, start in zip(prompts, begun, strict=True)
        ]
        drawn = self.engine.generate(ids, replace(params, stop_token_ids=self.stops))
        return [[self._text(rollout.answer_ids) for rollout in rollouts] for rollouts in drawn]

    def _text(self, ids: Sequence[int]) -> str:
        return self.encoder.decode(list(ids[:-1] if ids and ids[-1] in self.stops else ids))
