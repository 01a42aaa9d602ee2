"""A streamed run from the outside: the same steps as a run that holds its rows, and the same after it went on."""

import json

import pytest

RUN = """\
model: {model_id: "MODEL"}
data: {dataset: [a.jsonl, b.jsonl], interleave_prob: [0.6, 0.4], split_dataset_ratio: 0.2, num_proc: 2, STREAM}
train:
  stage: sft
  learning_rate: 1e-3
  max_steps: 4
  per_device_train_batch_size: 4
  logging_steps: 1
  eval_generation_rows: 0
  save_steps: 2
  save_total_limit: 9
output_dir: NAME
"""


def losses(folder, name):
    lines = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.slow
def test_a_streamed_run_is_the_run_that_holds_its_rows_and_goes_on_exactly(swift, tiny_folder):
    for name in ("a", "b"):
        rows = [
            {"messages": [{"role": "user", "content": f"{name}{n}"}, {"role": "assistant", "content": "z" * (n % 5)}]}
            for n in range(1, 30)
            if n % 5
        ]
        swift.write(f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    for name, stream in (("held", "cache: true"), ("streamed", "streaming: true")):
        text = RUN.replace("MODEL", str(tiny_folder)).replace("STREAM", stream).replace("NAME", name)
        swift.write(f"{name}.yaml", text)
    plan = swift("plan", "streamed.yaml")
    assert "mixed by data.interleave_prob: a.jsonl " in plan
    swift("train", "held.yaml")
    swift("train", "streamed.yaml")
    assert losses(swift.folder, "held") == losses(swift.folder, "streamed")

    facts = json.loads((swift.folder / "streamed" / "result.json").read_text())["facts"]
    assert any(note.startswith("encoded rows read from ") for note in facts["notes"])
    swift("train", "streamed.yaml", "--resume", "streamed/checkpoint-2")
    assert losses(swift.folder, "streamed")[-2:] == losses(swift.folder, "held")[-2:]
