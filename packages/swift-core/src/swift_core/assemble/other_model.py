"""Models beside the one that is trained, by their id, and engines that answer with them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from swift_core.errors import SwiftError
from swift_core.plugins.remote_code import may_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

    from swift_core.contracts.data import Message, TextEncoder
    from swift_core.contracts.engine import SamplingParams

_CLASS_ENDING = {"causal_lm": "", "token_classification": "ForTokenClassification"}


def open_model(model_id: str, base: Path, head: str) -> FoundModel:
    """Return a model that lies on this machine and is loaded when it is first used.

    Raises:
        ValueError: There is no such model, or its folder has no weights of the head.
    """
    folder = find_model(model_id, base)
    _require_head(folder, head)
    return FoundModel(folder, head)


@dataclass(slots=True)
class FoundModel:
    """A model folder, loaded once."""

    folder: Path
    head: str
    _live: tuple[PreTrainedModel, TextEncoder] | None = field(default=None, init=False, repr=False)

    def live(self) -> tuple[PreTrainedModel, TextEncoder]:
        """Return the model in evaluation mode on its device, and its tokenizer."""
        if self._live is None:
            self._live = _load(self.folder, self.head), open_encoder(self.folder)
        return self._live


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


def _require_head(folder: Path, head: str) -> None:
    ending = _CLASS_ENDING[head]
    names = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or []
    if ending and not any(name.endswith(ending) for name in names):
        raise ValueError(f"{folder} holds {' and '.join(names) or 'a model'}, and not one {ending}")


def _load(folder: Path, head: str) -> PreTrainedModel:
    import torch

    from swift_core.assemble.model import Loading, compute_device, load_weights, placed
    from swift_core.contracts.settings import DeviceSettings

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
        found = getattr(AutoConfig.from_pretrained(folder, trust_remote_code=may_run(folder)), "eos_token_id", None)
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
    return EngineGenerator(live, find_model(model_id, base))


@dataclass(slots=True)
class EngineGenerator:
    """Goes on with answers that were begun; the engine is made ready with the first of them."""

    engine: Any
    folder: Path
    _ready: tuple[TextEncoder, tuple[int, ...]] | None = field(default=None, init=False, repr=False)

    def answers(
        self, prompts: Sequence[str | Sequence[Message]], begun: Sequence[str], params: SamplingParams, /
    ) -> list[list[str]]:
        """Return `params.num_answers` continuations of each answer: what comes after what was begun."""
        from swift_core.assemble.generate import prompt_ids

        encoder, stops = self._made_ready()
        ids = [
            [*prompt_ids(encoder, prompt), *encoder.encode(start)] for prompt, start in zip(prompts, begun, strict=True)
        ]
        drawn = self.engine.generate(ids, replace(params, stop_token_ids=stops))
        answers = [[list(rollout.answer_ids) for rollout in rollouts] for rollouts in drawn]
        return [[encoder.decode(own[:-1] if own and own[-1] in stops else own) for own in each] for each in answers]

    def _made_ready(self) -> tuple[TextEncoder, tuple[int, ...]]:
        if self._ready is None:
            encoder = open_encoder(self.folder)
            stops = ready_engine(self.engine, self.folder, encoder, lambda: _load(self.folder, "causal_lm"))
            self._ready = encoder, tuple(stops)
        return self._ready
