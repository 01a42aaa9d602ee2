"""`stage: kto` from the outside: labelled answers are learned, plans tell how they are counted, and a run goes on."""

import json

import pytest
from safetensors.numpy import load_file

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: rows.jsonl, val_dataset: held-out.jsonl}
train:
  stage: STAGE
  learning_rate: 1e-3
  max_steps: 12
  per_device_train_batch_size: 2
  gradient_accumulation_steps: 4
  logging_steps: 1
  max_completion_length: 8
  eval_generation_rows: 1
  save_strategy: "no"
output_dir: out
"""


def labelled(numbers):
    """Return rows of which every second has an evasive answer, as JSON lines."""
    lines = []
    for number in numbers:
        wanted = number % 2 == 0
        answer = f"The answer is {number + 3}." if wanted else "I do not know, ask somebody else."
        prompt = [{"role": "user", "content": f"What is {number} + 3?"}]
        completion = [{"role": "assistant", "content": answer}]
        lines.append(json.dumps({"prompt": prompt, "completion": completion, "label": wanted}) + "\n")
    return "".join(lines)


def write(swift, stage):
    swift.write("rows.jsonl", labelled(range(96)))
    swift.write("held-out.jsonl", labelled(range(100, 116)))
    swift.write("run.yaml", RUN.replace("STAGE", stage))


def figures(folder):
    return json.loads((folder / "result.json").read_text())


def test_labels_are_learned(swift):
    write(swift, "kto")
    swift("train", "run.yaml")
    before, after = (figures(swift.folder / "out")[name] for name in ("before", "after"))
    assert before["eval_reward_accuracy"] == 0.5
    assert after["eval_reward_accuracy"] > 0.9
    assert after["eval_reward_margin"] > before["eval_reward_margin"] + 0.5
    assert after["eval_loss"] < before["eval_loss"] - 0.05
    answers = figures(swift.folder / "out")["samples"]
    assert answers[0]["expected"] == "The answer is 103."


@pytest.mark.slow
def test_bco_goes_on_from_its_checkpoint_as_if_it_had_not_stopped(swift):
    write(swift, "bco")
    saving = ("train.save_strategy=steps", "train.save_steps=6", "output_dir=halves")
    swift("train", "run.yaml")
    swift("train", "run.yaml", *saving)
    (swift.folder / "halves" / "checkpoint-12").rename(swift.folder / "halves" / "spare")
    swift("train", "run.yaml", *saving, "--resume", "halves")
    whole, halves = (
        load_file(swift.folder / name / "adapter" / "adapter_model.safetensors") for name in ("out", "halves")
    )
    assert {name: value.tobytes() for name, value in whole.items()} == {
        name: value.tobytes() for name, value in halves.items()
    }
    assert (
        figures(swift.folder / "out")["after"]["eval_delta"] == figures(swift.folder / "halves")["after"]["eval_delta"]
    )
    assert figures(swift.folder / "out")["after"]["eval_reward_accuracy"] > 0.9


def test_rows_that_teach_nothing_are_refused_before_a_model_is_loaded(swift):
    write(swift, "kto")
    swift.write("rows.jsonl", labelled(range(0, 96, 2)))
    output = swift("train", "run.yaml", code=2)
    assert "run.yaml:2:17: error[one-label]: All rows are desirable" in output
    assert not (swift.folder / "out").exists()
