"""The model that is trained answers itself, by `generate` of transformers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swift_core.assemble.generate import answering, new_tokens
from swift_core.contracts.checks import require_positive
from swift_core.contracts.engine import Rollout, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel


@dataclass(kw_only=True)
class TransformersEngine:
    """Batched sampling with a key-value cache; a batch ends when its last answer does."""

    batch_size: int = 64
    """Answers drawn together, >= 1; prompts of like length are."""

    _model: PreTrainedModel | None = field(default=None, init=False, repr=False)
    _pad_token_id: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        require_positive(batch_size=self.batch_size)

    def attach(self, model: PreTrainedModel, pad_token_id: int, /) -> None:
        """Answer with `model` from now on; its weights are read where they lie."""
        self._model, self._pad_token_id = model, pad_token_id

    def generate(self, prompts: Sequence[Sequence[int]], params: SamplingParams, /) -> list[list[Rollout]]:
        """Return `params.num_answers` answers per prompt, in the order of the prompts.

        Each answer is drawn by numbers of its own seed (`params.seed_of`), whatever is computed beside it; torch's
        global generator is not touched.
        """
        if self._model is None:
            raise RuntimeError("the engine has no model: call attach first")
        every = ((index, number) for index in range(len(prompts)) for number in range(params.num_answers))
        jobs = sorted(every, key=lambda job: len(prompts[job[0]]))
        answers: list[list[Rollout]] = [[] for _ in prompts]
        with answering(self._model):
            for start in range(0, len(jobs), self.batch_size):
                chosen = jobs[start : start + self.batch_size]
                seeds = [params.seed_of(*job) for job in chosen]
                drawn = new_tokens(self._model, [prompts[i] for i, _ in chosen], params, self._pad_token_id, seeds)
                for (index, _), tokens in zip(chosen, drawn, strict=True):
                    answers[index].append(_rollout(prompts[index], tokens, params))
        return answers

    def update_weights(self, weights: Mapping[str, Tensor], version: int, /) -> None:
        """Do nothing: the weights are the trained model's own."""

    def close(self) -> None:
        """Let the model go."""
        self._model = None


def _rollout(prompt: Sequence[int], tokens: Sequence[int], params: SamplingParams) -> Rollout:
    """Return the answer up to and with the first token that stops."""
    end = next((index for index, token in enumerate(tokens) if token in params.stop_token_ids), None)
    kept = list(tokens) if end is None else list(tokens[: end + 1])
    return Rollout(prompt_ids=list(prompt), answer_ids=kept, finished=end is not None)
