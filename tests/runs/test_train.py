"""`swift train` from the outside: what it leaves, how it stops, how it goes on."""

import json
import signal
import time

import pytest

SFT = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:chat", val_dataset: "demo:chat-heldout"}
train:
  stage: sft
  learning_rate: 2e-3
  max_steps: 20
  per_device_train_batch_size: 16
  logging_steps: 5
  save_strategy: "no"
output_dir: out
"""

PAIRS = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:preference", val_dataset: ["demo:preference-heldout", "demo:prompts-heldout"]}
reward: {orms: [math]}
train:
  stage: STAGE
  optimizer_type: OPTIMIZER
  learning_rate: 1e-3
  max_steps: 10
  per_device_train_batch_size: 16
  metrics: [orm_accuracy]
  save_strategy: "no"
output_dir: out
"""


def result(folder):
    return json.loads((folder / "out" / "result.json").read_text())


def test_sft_lowers_the_held_out_loss_and_leaves_a_whole_directory(swift):
    swift.write("run.yaml", SFT)
    swift("train", "run.yaml")
    figures = result(swift.folder)
    assert figures["after"]["eval_loss"] < 0.7 * figures["before"]["eval_loss"]
    names = {path.name for path in (swift.folder / "out").iterdir()}
    assert {"adapter", "metrics.jsonl", "plan.json", "versions.json", "run.yaml", "result.json", "report.html"} <= names
    lines = [json.loads(line) for line in (swift.folder / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 5, 10, 15, 20]


@pytest.mark.parametrize(
    ("optimizer", "stage"),
    [
        ("adamw", "orpo"),
        ("galore_adamw", "simpo"),
        ("native_adamw", "dpo"),
        pytest.param("adamw", "dpo", marks=pytest.mark.slow),
        pytest.param("adamw", "simpo", marks=pytest.mark.slow),
        pytest.param("galore_adamw", "dpo", marks=pytest.mark.slow),
        pytest.param("galore_adamw", "orpo", marks=pytest.mark.slow),
        pytest.param("native_adamw", "orpo", marks=pytest.mark.slow),
        pytest.param("native_adamw", "simpo", marks=pytest.mark.slow),
    ],
)
def test_every_first_loss_and_optimizer_widens_the_held_out_margin(swift, stage, optimizer):
    swift.write("run.yaml", PAIRS.replace("STAGE", stage).replace("OPTIMIZER", optimizer))
    swift("train", "run.yaml")
    figures = result(swift.folder)
    assert figures["after"]["eval_reward_margin"] > figures["before"]["eval_reward_margin"] + 0.01
    assert "eval_orm_accuracy" in figures["after"]


def test_text_is_trained_whole_in_stage_pt(swift):
    rows = [{"text": f"The number after {n} is {n + 1}."} for n in range(40)]
    swift.write("text.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    swift.write(
        "run.yaml",
        SFT.replace("stage: sft", "stage: pt").replace(
            '"demo:chat", val_dataset: "demo:chat-heldout"', "text.jsonl, split_dataset_ratio: 0.2"
        ),
    )
    swift("train", "run.yaml")
    figures = result(swift.folder)
    assert figures["after"]["eval_loss"] < figures["before"]["eval_loss"]


@pytest.mark.timed
def test_a_typo_is_told_before_anything_starts(swift):
    swift.write("run.yaml", SFT.replace("max_steps", "max_step"))
    start = time.monotonic()
    output = swift("train", "run.yaml", code=2)
    assert "run.yaml:6:3" in output
    assert "max_steps" in output
    assert not (swift.folder / "out").exists()
    assert time.monotonic() - start < 10  # importing torch and building a model takes longer than all of this


def test_a_metric_on_tokens_is_refused_in_a_stage_of_pairs(swift):
    swift.write("run.yaml", PAIRS.replace("STAGE", "dpo").replace("OPTIMIZER", "adamw").replace("orm_accuracy", "acc"))
    output = swift("train", "run.yaml", code=2)
    assert "run.yaml:10:13: error[metric-does-not-fit-stage]: metric 'acc' reads predictions" in output
    assert not (swift.folder / "out").exists()


def test_broken_rows_leave_no_run_directory(swift):
    swift.write("rows.jsonl", '{"messages": [{"role": "user", "content": "hi"}]}\n')
    swift.write("run.yaml", SFT.replace("demo:chat", "rows.jsonl", 1))
    output = swift("train", "run.yaml", code=2)
    assert "rows.jsonl:1" in output
    assert "Traceback" not in output
    assert not (swift.folder / "out").exists()


def test_a_directory_in_use_is_never_written_over(swift):
    swift.write("run.yaml", SFT)
    (swift.folder / "out").mkdir()
    swift.write("out/precious.txt", "mine")
    assert "not empty" in swift("train", "run.yaml", code=2)
    assert [path.name for path in (swift.folder / "out").iterdir()] == ["precious.txt"]


def interrupted(swift):
    """Start a long run, press Ctrl-C after its first steps, and return what it printed and its exit code."""
    swift.write("run.yaml", SFT.replace("max_steps: 20", "max_steps: 400"))
    seen = []
    with swift.start("train", "run.yaml") as process:
        for line in process.stdout:
            seen.append(line)
            if line.startswith("step 5/"):
                process.send_signal(signal.SIGINT)
    return "".join(seen), process.returncode


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(swift):
    output, code = interrupted(swift)
    assert code == 130, output
    assert "--resume out" in output
    assert list((swift.folder / "out").glob("checkpoint-*/trainer_state.json"))
    assert not (swift.folder / "out" / "adapter").exists()


def test_a_resumed_run_ends_as_the_uninterrupted_one(swift):
    from safetensors.numpy import load_file

    swift.write("run.yaml", SFT)
    swift("train", "run.yaml")
    swift("train", "run.yaml", "output_dir=halves", "train.save_strategy=steps", "train.save_steps=10")
    (last,) = (swift.folder / "halves").glob("checkpoint-20")
    last.rename(swift.folder / "halves" / "spare")
    swift(
        "train",
        "run.yaml",
        "output_dir=halves",
        "train.save_strategy=steps",
        "train.save_steps=10",
        "--resume",
        "halves",
    )
    whole, halves = (
        load_file(swift.folder / name / "adapter" / "adapter_model.safetensors") for name in ("out", "halves")
    )
    assert {name: value.tobytes() for name, value in whole.items()} == {
        name: value.tobytes() for name, value in halves.items()
    }
