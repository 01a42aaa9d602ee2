"""`swift sample` from the outside: kept answers train the next stage, and a killed job goes on."""

import json
import signal
import time

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:prompts#24"}
reward: {orms: [{name: length, kwargs: {max_length: 40}}]}
rollout: {num_generations: 4}
train: {max_completion_length: 8}
"""


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_kept_answers_train_the_next_stage(swift):
    swift.write("sample.yaml", RUN)
    printed = swift("sample", "sample.yaml", "-o", "all.jsonl", "--keep", "all")
    assert "96 answers to 24 prompts" in printed
    kept = rows(swift.folder / "all.jsonl")
    assert all(row["messages"][-1]["role"] == "assistant" for row in kept)
    assert not (swift.folder / "all.jsonl.part").exists()
    assert "exists already" in swift("sample", "sample.yaml", "-o", "all.jsonl", code=2)
    swift.write(
        "sft.yaml",
        'model: {model_id: "demo:tiny"}\ndata: {dataset: all.jsonl}\n'
        'train: {stage: sft, max_steps: 1, save_strategy: "no"}\noutput_dir: out\n',
    )
    swift("train", "sft.yaml")


def test_a_killed_job_goes_on_without_losing_or_repeating_a_row(swift):
    swift.write("sample.yaml", RUN)
    command = ("sample", "sample.yaml", "--keep", "all", "--batch-size", "2", "-o")
    swift(*command, "whole.jsonl")
    part = swift.folder / "cut.jsonl.part"
    with swift.start(*command, "cut.jsonl") as process:
        while process.poll() is None and not (part.exists() and len(part.read_text().splitlines()) > 4):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    done = len(part.read_text().splitlines())
    assert 4 < done < 25
    swift(*command, "cut.jsonl")
    assert (swift.folder / "cut.jsonl").read_text() == (swift.folder / "whole.jsonl").read_text()


def test_rewards_are_asked_for_before_a_model_is_loaded(swift):
    swift.write("sample.yaml", RUN.replace("[{name: length, kwargs: {max_length: 40}}]", "[]"))
    assert "needs rewards" in swift("sample", "sample.yaml", "-o", "x.jsonl", "--threshold", "1", code=2)
