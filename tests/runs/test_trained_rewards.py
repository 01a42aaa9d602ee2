"""Runs of the stages rm and prm as rewards of other runs, from the outside."""

import json

import pytest

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:DATA#64"}
train: {stage: STAGE, max_steps: 3, learning_rate: 2e-3, save_strategy: "no"}
output_dir: STAGE
"""
SAMPLE = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:prompts#4"}
reward:
  orms: [{name: reward_model, kwargs: {run: rm}}]
  prms: [{name: local_prm, weight: 0.5, aggregate: last, kwargs: {run: prm}}]
rollout: {num_generations: 2}
train: {max_completion_length: 12}
"""


@pytest.mark.slow
def test_runs_of_stages_rm_and_prm_score_what_is_sampled_as_infer_scores_it(swift):
    for stage, data in (("rm", "preference"), ("prm", "steps")):
        swift.write("run.yaml", RUN.replace("STAGE", stage).replace("DATA", data))
        swift("train", "run.yaml")
    swift.write("sample.yaml", SAMPLE)
    swift("sample", "sample.yaml", "-o", "kept.jsonl", "--keep", "all")
    rows = [json.loads(line) for line in (swift.folder / "kept.jsonl").read_text().splitlines()]
    assert len(rows) >= 4
    for row in rows:
        assert row["rewards"]["local_prm"] == pytest.approx(row["steps"]["local_prm"][-1])
        total = row["rewards"]["reward_model"] + 0.5 * row["rewards"]["local_prm"]
        assert row["reward"] == pytest.approx(total)
    prompt, answer = (turn["content"] for turn in rows[0]["messages"][-2:])
    printed = swift("infer", "rm", "--prompt", prompt, "--answer", answer)
    assert float(printed) == pytest.approx(rows[0]["rewards"]["reward_model"], abs=2e-4)
    printed = swift("infer", "prm", "--prompt", prompt, "--answer", answer)
    judged = [float(line.split()[0]) for line in printed.splitlines()]
    assert judged == pytest.approx(rows[0]["steps"]["local_prm"], abs=2e-4)

    swift.write("swapped.yaml", SAMPLE.replace("{run: rm}", "{run: prm}"))
    printed = swift("sample", "swapped.yaml", "-o", "none.jsonl", code=2)
    assert "swapped.yaml:4:" in printed
    assert "is no run of stage rm" in printed
