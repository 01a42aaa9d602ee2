"""The stages with a classification head from the outside: trained, judged, asked again."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:DATA", val_dataset: "demo:DATA-heldout"}
train:
  stage: STAGE
  tuner_strategy: TUNER
  learning_rate: 2e-3
  max_steps: STEPS
  save_strategy: "no"
output_dir: out
"""


def run_file(stage, data, tuner="full", steps=60, **train):
    text = RUN.replace("STAGE", stage).replace("DATA", data).replace("TUNER", tuner).replace("STEPS", str(steps))
    return text.replace("train:\n", "train:\n" + "".join(f"  {key}: {value}\n" for key, value in train.items()))


def result(folder):
    return json.loads((folder / "out" / "result.json").read_text())


def test_a_classifier_goes_from_chance_to_more_than_nine_tenths_and_answers_alike_in_transformers(swift):
    swift.write("run.yaml", run_file("seq_cls", "classes", metrics="[acc, macro_f1]"))
    swift("train", "run.yaml")
    figures = result(swift.folder)
    assert figures["before"]["eval_accuracy"] < 0.4
    assert figures["after"]["eval_accuracy"] > 0.9
    assert figures["after"]["eval_macro_f1"] > 0.9
    assert "2 classes" not in figures["facts"]["notes"][0]
    assert figures["facts"]["notes"][0].startswith("5 classes: addition (")

    text = "What colour is the sea?"
    printed = swift("infer", "out", "--prompt", text)
    model = AutoModelForSequenceClassification.from_pretrained(swift.folder / "out" / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(swift.folder / "out" / "model")
    with torch.no_grad():
        shares = model(**tokenizer(text, return_tensors="pt")).logits[0].softmax(-1)
    best = int(shares.argmax())
    assert printed.splitlines()[0] == f"{shares[best]:.4f}  {model.config.id2label[best]}"
    assert model.config.id2label[best] == "colour"
    assert len(printed.splitlines()) == 5


def test_a_reward_model_prefers_what_the_pairs_prefer_with_an_adapter_that_holds_its_head(swift):
    swift.write("run.yaml", run_file("rm", "preference", tuner="lora", steps=30))
    swift("train", "run.yaml")
    figures = result(swift.folder)
    assert figures["before"]["eval_reward_accuracy"] < 0.8
    assert figures["after"]["eval_reward_accuracy"] == 1.0
    assert any("score" in name for name in load_file(swift.folder / "out" / "adapter" / "adapter_model.safetensors"))

    asked = ("--prompt", "What is 2 + 3?", "--answer")
    printed = swift("infer", "out", *asked, r"\boxed{5}", *asked, r"The answer is \boxed{5}.").split("\n")
    better, worse = (float(line) for line in printed if line and not line.startswith("prompt"))
    assert better > worse + 1
    assert "give --answer after each --prompt" in swift("infer", "out", "--prompt", "What is 2 + 3?", code=2)
    assert "--temperature would do nothing" in swift("infer", "out", *asked, "5", "--temperature", "1", code=2)


def test_a_process_reward_model_learns_from_labelled_steps_and_judges_each(swift):
    swift.write("run.yaml", run_file("prm", "steps", steps=100, metrics="[first_error_f1]"))
    swift("train", "run.yaml")
    figures = result(swift.folder)
    assert figures["after"]["eval_loss"] < figures["before"]["eval_loss"] - 0.05
    assert figures["after"]["eval_step_accuracy"] > figures["before"]["eval_step_accuracy"]
    assert "eval_first_error_f1" in figures["after"]
    steps = ["2 + 3 = 5", r"The answer is \boxed{5}."]
    printed = swift("infer", "out", "--prompt", "What is 2 + 3?\n", "--answer", "\n".join(steps)).splitlines()
    assert [line.partition("  ")[2] for line in printed] == steps
    assert all(0 <= float(line.partition("  ")[0]) <= 1 for line in printed)


@pytest.mark.slow
def test_a_merged_adapter_is_a_model_that_scores_alike(swift):
    from swift_core.assemble.trained import merged

    swift.write("run.yaml", run_file("seq_cls", "classes", tuner="lora", steps=2))
    swift("train", "run.yaml")
    printed = swift("infer", "out", "--prompt", "Reverse a b.")
    folder = merged(swift.folder / "out")
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = model(**AutoTokenizer.from_pretrained(folder)("Reverse a b.", return_tensors="pt")).logits[0]
    shares = {model.config.id2label[index]: share for index, share in enumerate(logits.softmax(-1).tolist())}
    for line in printed.splitlines():
        share, label = line.split("  ")
        assert shares[label] == pytest.approx(float(share), abs=2e-4)


@pytest.mark.slow
def test_a_language_model_judges_no_answers(swift):
    swift.write("run.yaml", run_file("sft", "chat", steps=1))
    swift("train", "run.yaml")
    printed = swift("infer", "out", "--prompt", "a", "--answer", "b", code=2)
    assert "--answer would do nothing: the model of this run generates answers and judges none" in printed


def test_a_wrong_label_is_told_by_the_plan_with_its_place(swift):
    swift.write("rows.jsonl", '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')
    swift.write("held.jsonl", '{"text": "a", "label": "z"}\n')
    swift.write(
        "run.yaml", run_file("seq_cls", "x").replace("demo:x-heldout", "held.jsonl").replace("demo:x", "rows.jsonl")
    )
    swift("plan", "run.yaml", "data.val_dataset=[]")
    printed = swift("plan", "run.yaml", code=2)
    assert "held.jsonl:1:1: error[unknown-label]: No training row has the label 'z'." in printed
    assert "its labels are x, y" in printed
