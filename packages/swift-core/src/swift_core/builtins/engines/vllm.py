"""vLLM in this process: the fastest where there is a GPU. It needs the package vllm, which swift does not bring.

It loads the model's weights itself and keeps them, so that it serves `swift sample` and rewards, and no stage that
trains. To share a server between processes, start `vllm serve` and use the engine `openai`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.contracts.checks import require_between, require_positive
from swift_core.contracts.engine import Rollout, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor


@dataclass(kw_only=True)
class VllmEngine:
    """Answers of vLLM with the run's model."""

    tensor_parallel_size: int = 1
    """GPUs that share the model, >= 1."""

    gpu_memory_utilization: float = 0.9
    """Share of a GPU's memory that vLLM takes, in (0, 1)."""

    max_model_len: int = 0
    """Longest prompt with its answer in tokens; 0 is the model's own limit."""

    dtype: str = "auto"
    """Type of the weights, as vLLM names it."""

    takes_weights: ClassVar[bool] = False
    needs_package: ClassVar[str] = "vllm"
    _model: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the options."""
        require_positive(
            tensor_parallel_size=self.tensor_parallel_size, gpu_memory_utilization=self.gpu_memory_utilization
        )
        require_between(0, 1, gpu_memory_utilization=self.gpu_memory_utilization)

    def open(self, folder: Path, /) -> None:
        """Load the model in `folder`."""
        self._model = importlib.import_module("vllm").LLM(
            model=str(folder),
            tensor_parallel_size=self.tensor_parallel_size,
            gpu_memory_utilization=self.gpu_memory_utilization,
            max_model_len=self.max_model_len or None,
            dtype=self.dtype,
        )

    def generate(self, prompts: Sequence[Sequence[int]], params: SamplingParams, /) -> list[list[Rollout]]:
        """Return `params.num_answers` answers per prompt, in the order of the prompts."""
        if self._model is None:
            raise RuntimeError("the engine has no model: call open first")
        sampling = [_sampling(params, params.seed_of(place)) for place in range(len(prompts))]
        asked = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        outputs = self._model.generate(asked, sampling, use_tqdm=False)
        return [
            [Rollout(list(prompt), list(each.token_ids), each.finish_reason == "stop") for each in output.outputs]
            for prompt, output in zip(prompts, outputs, strict=True)
        ]

    def update_weights(self, weights: Mapping[str, Tensor], version: int, /) -> None:
        """Refuse: vLLM keeps the weights it loaded."""
        raise RuntimeError("the engine vllm keeps the weights it loaded")

    def close(self) -> None:
        """Let the model go."""
        self._model = None


def _sampling(params: SamplingParams, seed: int) -> Any:
    return importlib.import_module("vllm").SamplingParams(
        n=params.num_answers,
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k or -1,
        max_tokens=params.max_tokens,
        seed=seed % 2**31,
        stop_token_ids=list(params.stop_token_ids),
    )
