"""Processes that have unlike shares, or none: all take part, and what they add up to is what one process finds."""

import json
import sys

import pytest
from tests.runs.ranks import Ranks, largest_difference, weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are forked as on Linux"),
]

ROWS = 2
"""Of a process in a step: one process takes two batches of so many, which two processes share."""

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: rows.jsonl, val_dataset: "held-out.jsonl", shuffle: false}
train:
  stage: STAGE
  tuner_strategy: full
  optimizer_type: adamw
  max_steps: 3
  per_device_train_batch_size: 2
  per_device_eval_batch_size: 2
  logging_steps: 1
  max_grad_norm: 0
  max_completion_length: 6
  save_strategy: "no"
output_dir: out
"""
DRAWS = """\
reward: {orms: ["./even.py:OnlySome"]}
rollout: {num_generations: 3, temperature: 1.5}
plugins: {sandbox: {in_process: ["./even.py"]}}
"""
ONLY_SOME = '''\
"""Lengths, of answers to some prompts only: every second batch has none that is scored."""


class OnlySome:
    """Abstains where the row says so."""

    def __call__(self, completions, scored):
        """Return lengths."""
        return [float(len(text)) if wanted else None for text, wanted in zip(completions, scored, strict=True)]
'''


def is_second(number):
    """Say whether a row is of a batch that the second process gets."""
    return number // ROWS % 2 == 1


MAKE = {
    "sft": lambda n: {"prompt": f"{n}+1?", "completion": "7" if is_second(n) else f"It is {n + 1}, as you can count."},
    "dpo": lambda n: {"prompt": f"{n}+1?", "chosen": str(n + 1), "rejected": "no idea at all" if is_second(n) else "?"},
    "kto": lambda n: {"prompt": f"{n}+1?", "completion": str(n + 1), "label": not is_second(n)},
    "grpo": lambda n: {"prompt": f"{n}+1?", "ground_truth": str(n + 1), "scored": not is_second(n)},
}


@pytest.fixture(scope="module")
def ranks(demo_folder):
    return Ranks()


@pytest.fixture
def folder(tmp_path):
    def make(name, stage):
        place = tmp_path / name
        place.mkdir()
        (place / "run.yaml").write_text(RUN.replace("STAGE", stage) + (DRAWS if stage == "grpo" else ""))
        (place / "even.py").write_text(ONLY_SOME)
        rows = [json.dumps(MAKE[stage](number)) + "\n" for number in range(16)]
        (place / "rows.jsonl").write_text("".join(rows))
        (place / "held-out.jsonl").write_text("".join(rows[:ROWS]))  # one batch: the second process has none
        return place

    return make


def train(ranks, place, number, *arguments):
    return ranks(
        *(place, number, "train", "run.yaml", "--allow-code", *arguments), OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1"
    )


def figures(place):
    """Return every logged number but times."""
    lines = map(json.loads, (place / "out" / "metrics.jsonl").read_text().splitlines())
    left_out = ("second", "runtime", "time", "memory")
    return [
        {name: value for name, value in line.items() if not any(word in name for word in left_out)} for line in lines
    ]


@pytest.mark.parametrize("method", ["ddp", "fsdp2"])
@pytest.mark.parametrize("stage", MAKE)
def test_a_process_that_has_nothing_to_add_takes_part(ranks, folder, stage, method):
    one, two = folder("one", stage), folder(method, stage)

    train(ranks, one, 1, "train.gradient_accumulation_steps=2")
    train(ranks, two, 2, f"device.parallel_method={method}", "device.num_processes=2")

    assert largest_difference(weights(one / "out"), weights(two / "out")) == 0
    for alone, together in zip(figures(one), figures(two), strict=True):
        assert together == pytest.approx(alone, rel=1e-6, nan_ok=True)
