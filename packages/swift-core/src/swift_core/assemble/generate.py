"""Letting a model answer, several prompts at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from swift_core.assemble.inner import content_start
from swift_core.assemble.vision.rows import encoder_of_row, images_of_prompts
from swift_core.contracts.engine import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from swift_core.contracts.data import Message, TextEncoder
    from swift_core.contracts.media import Medium

_PROBE = "x"


def generate(
    model: PreTrainedModel,
    encoder: TextEncoder,
    prompts: Sequence[str | Sequence[Message]],
    *,
    max_new_tokens: int = 128,
    batch_size: int = 8,
    temperature: float = 0.0,
    images: Sequence[Sequence[Medium]] = (),
) -> list[str]:
    """Return the model's answer to each prompt, without the token that ends it.

    Args:
        model: Any causal language model; whether it is in training mode is the same afterwards.
        encoder: Its tokenizer and chat template.
        prompts: Conversations, which get the template, or plain text to continue.
        max_new_tokens: Longest answer, in tokens.
        batch_size: Prompts computed together; those of like length are, which changes no answer.
        temperature: 0 always takes the likeliest token; above, tokens are drawn from torch's global generator.
        images: Or sounds; of each prompt, one for each mark in it; none given, no prompt has any.
    """
    seen = [list(row) for row in images] or [[] for _ in prompts]
    ids = [prompt_ids(encoder_of_row(encoder, shown), prompt) for prompt, shown in zip(prompts, seen, strict=True)]
    stops = stop_ids(model, encoder)
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    answers = [""] * len(ids)
    params = SamplingParams(max_tokens=max_new_tokens, temperature=temperature, stop_token_ids=tuple(stops))
    with answering(model):
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            shown = images_of_prompts(encoder, [seen[index] for index in chosen])
            new = new_tokens(model, [ids[index] for index in chosen], params, encoder.pad_token_id, beside=shown)
            for index, tokens in zip(chosen, new, strict=True):
                answers[index] = encoder.decode(_until(tokens, stops))
    return answers


def stop_ids(model: PreTrainedModel, encoder: TextEncoder) -> list[int]:
    """Return the tokens that end an answer: the tokenizer's, the model's own, and the chat template's end of turn."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    own = configured if isinstance(configured, list) else [configured]
    return ending_ids([token for token in own if token is not None], encoder)


def ending_ids(own: Sequence[int], encoder: TextEncoder) -> list[int]:
    """Return the tokens that end an answer: the tokenizer's, a model's `own`, and the chat template's end of turn."""
    found = [encoder.eos_token_id, *own, _end_of_turn(encoder)]
    return list(dict.fromkeys(token for token in found if token is not None))


def _end_of_turn(encoder: TextEncoder) -> int | None:
    """Return the special token that the chat template writes right after an answer; None when there is none."""
    turns: list[Message] = [{"role": "user", "content": _PROBE}, {"role": "assistant", "content": _PROBE}]
    try:
        after = encoder.render(turns).rpartition(_PROBE)[2].lstrip()
    except ValueError:
        return None
    special = next((text for text in encoder.special_tokens if after.startswith(text)), "")
    return encoder.encode(special)[0] if special else None


def prompt_ids(
    encoder: TextEncoder, prompt: str | Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
) -> list[int]:
    """Return the tokens that the model is asked with; raise ValueError when the chat template refuses the prompt."""
    if isinstance(prompt, str):
        return [*encoder.opening_ids, *encoder.encode(prompt)]
    if prompt and prompt[-1].get("goes_on"):
        text, said = encoder.render(prompt, tools=tools), prompt[-1]["content"]
        start, lost = content_start(text, (0, len(text)), said)
        return encoder.encode(text[:start] + said[lost:])
    return encoder.encode(encoder.render(prompt, tools=tools, add_generation_prompt=True))


@contextmanager
def answering(model: PreTrainedModel) -> Iterator[None]:
    """Keep gradients and dropout off, and put every module's training mode back."""
    import torch

    trained = [module for module in model.modules() if module.training]
    model.eval()
    try:
        # Not inference_mode: tensors that a module caches would then be unusable in training.
        with torch.no_grad():
            yield
    finally:
        for module in trained:
            module.training = True


def new_tokens(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    params: SamplingParams,
    pad_token_id: int,
    seeds: Sequence[int] = (),
    beside: Callable[[Tensor], Mapping[str, Tensor]] | None = None,
) -> list[list[int]]:
    """Return one answer after each prompt, padding included; prompts are padded on the left.

    Args:
        model: What answers.
        prompts: Tokens.
        params: How.
        pad_token_id: What stands left of shorter prompts.
        seeds: One for each prompt, of what is drawn; without, all are drawn from torch's global generator.
        beside: Returns what the model is given beside the padded prompts, [prompt, time]: images.
    """
    import torch
    from transformers import GenerationConfig

    from swift_core.assemble.drawing import drawing

    longest = max(len(ids) for ids in prompts)
    input_ids = torch.full((len(prompts), longest), pad_token_id)
    attention_mask = torch.zeros_like(input_ids)
    for row, ids in enumerate(prompts):
        input_ids[row, longest - len(ids) :] = torch.tensor(list(ids))
        attention_mask[row, longest - len(ids) :] = 1
    drawn = {"do_sample": True, "temperature": params.temperature, "top_k": params.top_k, "top_p": params.top_p}
    draws = params.temperature > 0
    config = GenerationConfig(
        max_new_tokens=params.max_tokens,
        eos_token_id=list(params.stop_token_ids),
        pad_token_id=pad_token_id,
        **(drawn if draws and not seeds else {"do_sample": False}),
    )
    output = model.generate(  # type: ignore[operator]
        input_ids=input_ids.to(model.device),
        attention_mask=attention_mask.to(model.device),
        **({name: value.to(model.device) for name, value in beside(input_ids).items()} if beside else {}),
        generation_config=config,
        logits_processor=drawing(params, seeds, longest, model.device) if draws and seeds else None,
    )
    tokens: list[list[int]] = output[:, longest:].tolist()
    return tokens


def _until(tokens: Sequence[int], stops: Sequence[int]) -> list[int]:
    """Return `tokens` up to the first that stops."""
    end = next((index for index, token in enumerate(tokens) if token in stops), len(tokens))
    return list(tokens[:end])
