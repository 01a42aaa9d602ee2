"""Drawing answers with the engine `transformers`, against `generate` of the model itself on the same batch.

    python benchmarks/sample_rollout.py [--rounds 5]

One batch: 8 prompts of like length, 8 answers each, 64 tokens, temperature 1, a fresh small Llama on one thread that no
stop token ends. Processor seconds, alternated; medians. The engine also cuts answers at their stop and keeps torch's
generator as it was; its budget is 1.05 times the model's own time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from swift_core.builtins.engines.transformers import TransformersEngine
from swift_core.plugin_api import SamplingParams

NUM_PROMPTS, NUM_ANSWERS, PROMPT, LENGTH = 8, 8, 64, 64
BUDGET = 1.05


def main() -> int:
    """Measure, print, return 1 when the engine is slower than the budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8192, hidden_size=256, intermediate_size=704, num_hidden_layers=6, num_attention_heads=4
    )
    model = LlamaForCausalLM(config).eval()
    prompts = torch.randint(3, 8192, (NUM_PROMPTS, PROMPT))
    engine = TransformersEngine(batch_size=NUM_PROMPTS * NUM_ANSWERS)
    engine.attach(model, 0)
    params = SamplingParams(
        max_tokens=LENGTH, temperature=1.0, top_p=1.0, top_k=0, num_answers=NUM_ANSWERS, seed=0, stop_token_ids=()
    )
    rows = prompts.tolist()
    ways: dict[str, Callable[[], object]] = {
        "model.generate": lambda: by_itself(model, prompts),
        "engine": lambda: engine.generate(rows, params),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, draw in ways.items():
            start = time.process_time()
            draw()
            times[name].append(time.process_time() - start)
    tokens = NUM_PROMPTS * NUM_ANSWERS * LENGTH
    medians = {name: statistics.median(spent[1:]) for name, spent in times.items()}  # the first round warms up
    for name, seconds in medians.items():
        print(f"{name:16}{seconds:8.3f} s{tokens / seconds:10,.0f} tokens/s")
    ratio = medians["engine"] / medians["model.generate"]
    print(f"engine / model.generate: {ratio:.3f}, budget {BUDGET}")
    return int(ratio > BUDGET)


def by_itself(model: LlamaForCausalLM, prompts: torch.Tensor) -> torch.Tensor:
    """Return the answers of the model's own `generate`."""
    with torch.no_grad():
        drawn: torch.Tensor = model.generate(
            input_ids=prompts,
            attention_mask=torch.ones_like(prompts),
            do_sample=True,
            top_k=0,
            max_new_tokens=LENGTH,
            num_return_sequences=NUM_ANSWERS,
            eos_token_id=None,
            pad_token_id=0,
        )
    return drawn


if __name__ == "__main__":
    raise SystemExit(main())
