"""Step-token PRM: what a model says after a token that ends each step.

    causal model:            score = p(good) / (p(good) + p(bad)) of the token that follows the step token
    token classification:    score = softmax(logits at the step token)[right_class]

Any process reward model of this form: Math-Shepherd and RLHFlow on causal models (Wang et al., 2023, arXiv:2312.08935),
Qwen2.5-Math-PRM on a classification head (Zhang et al., 2025, arXiv:2501.07301). A step has one score whatever is
written in it: a step token that the answer itself holds is taken out.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from swift_core.plugin_api import OtherModel, open_model, report_failure, require_positive, run_folder
from swift_reward_zoo._conversation import turns_before
from swift_reward_zoo.steps import Style, split_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest, TextEncoder


@dataclass(kw_only=True)
class StepTokenPrm:
    """The probability that each step is right, read at a token that ends it."""

    model: str
    """A folder, a hub id or `demo:tiny`, as in `model.model_id`."""

    step_token: str = "<extra_0>"
    """What is written after each step."""

    head: Literal["causal_lm", "token_classification"] = "causal_lm"
    """What is read: two tokens of a language model, or a class of a token classifier."""

    good: str = "+"
    """Token for a right step (causal_lm)."""

    bad: str = "-"
    """Token for a wrong step (causal_lm)."""

    right_class: int = 1
    """Class of a right step (token_classification)."""

    use_chat_template: bool = True
    """Write the question through the model's chat template; false puts it as it is before the steps."""

    style: Style = "auto"
    """Where answers are cut into steps."""

    max_length: int = 4096
    """Longest text in tokens; a longer one is not scored and counts as failed."""

    batch_size: int = 8
    """Texts computed together, >= 1."""

    scope: ClassVar[str] = "sample"
    _model: OtherModel = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the options and look for the model, which is loaded with the first answers."""
        require_positive(max_length=self.max_length, batch_size=self.batch_size)
        if not self.step_token:
            raise ValueError("step_token must not be empty")
        self._model = open_model(self.model, run_folder(), self.head)

    def __call__(self, infer_requests: Sequence[InferRequest]) -> list[list[float] | None]:
        """Return one probability per step, none for an answer without steps, None for a text that is too long.

        Raises:
            ValueError: `good` or `bad` is not one token of the model.
        """
        if not infer_requests:
            return []
        model, encoder = self._model.live()
        classes = self._classes(encoder)
        texts = [self._encoded(encoder, request) for request in infer_requests]
        scores: list[list[float] | None] = [[] for _ in texts]
        fitting = [index for index, (ids, ends) in enumerate(texts) if ends and len(ids) <= self.max_length]
        for index, (ids, _) in enumerate(texts):
            if len(ids) > self.max_length:
                report_failure(index, "error", f"{len(ids)} tokens, more than max_length {self.max_length}")
                scores[index] = None
        fitting.sort(key=lambda index: len(texts[index][0]))
        for first in range(0, len(fitting), self.batch_size):
            chosen = fitting[first : first + self.batch_size]
            read = _read(model, [texts[index] for index in chosen], classes, encoder.pad_token_id)
            for index, values in zip(chosen, read, strict=True):
                scores[index] = values
        return scores

    def _classes(self, encoder: TextEncoder) -> tuple[list[int] | None, int]:
        """Return which logits are compared (None: all) and which of them is for a right step."""
        if self.head == "token_classification":
            return None, self.right_class
        ids = []
        for name, text in (("good", self.good), ("bad", self.bad)):
            tokens = encoder.encode(text)
            if len(tokens) != 1:
                raise ValueError(f"{name} must be one token of the model, and {text!r} is {len(tokens)}")
            ids += tokens
        return ids, 0

    def _encoded(self, encoder: TextEncoder, request: InferRequest) -> tuple[list[int], list[int]]:
        """Return the tokens of question and steps, and where each step's token ends."""
        turns: Any = turns_before(request)
        if self.use_chat_template:
            ids = encoder.encode(encoder.render(turns, add_generation_prompt=True))
        else:
            ids = [*encoder.opening_ids, *encoder.encode("".join(turn["content"] for turn in turns))]
        tag, ends = encoder.encode(self.step_token), []
        for step in split_steps(request.response, self.style):
            ids = [*ids, *encoder.encode(step.replace(self.step_token, "")), *tag]
            ends.append(len(ids) - 1)
        return ids, ends


def _read(
    model: Any, texts: Sequence[tuple[list[int], list[int]]], classes: tuple[list[int] | None, int], pad_token_id: int
) -> list[list[float]]:
    """Return the probability at each step's end."""
    import torch

    compared, right = classes
    time = max(len(ids) for ids, _ in texts)
    input_ids = torch.full((len(texts), time), pad_token_id)
    attention_mask = torch.zeros_like(input_ids)
    for row, (ids, _) in enumerate(texts):
        input_ids[row, : len(ids)] = torch.tensor(ids)
        attention_mask[row, : len(ids)] = 1
    kept = sorted({end for _, ends in texts for end in ends})
    # Only the steps' ends need logits over the vocabulary.
    selects = compared is not None and "logits_to_keep" in inspect.signature(model.forward).parameters
    selected = {"logits_to_keep": torch.tensor(kept, device=model.device)} if selects else {}
    with torch.no_grad():
        logits = model(
            input_ids=input_ids.to(model.device),
            attention_mask=attention_mask.to(model.device),
            use_cache=False,
            **selected,
        ).logits.float()
    if compared is not None:
        logits = logits[..., compared]
    shares = logits.softmax(-1)[..., right].cpu()
    place = {end: index for index, end in enumerate(kept)} if selects else {end: end for end in kept}
    return [[float(shares[row, place[end]]) for end in ends] for row, (_, ends) in enumerate(texts)]
