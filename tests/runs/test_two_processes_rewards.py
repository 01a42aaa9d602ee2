"""Two processes that train on rewards: counts are of both, and both decide alike."""

import json

import pytest
from tests.runs.ranks import torchrun

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:prompts#16"}
reward: {orms: ["./flaky.py:Flaky"], max_failure_rate: RATE}
rollout: {num_generations: 4, log_completions: 1}
train:
  stage: online_dpo
  tuner_strategy: full
  max_completion_length: 8
  max_steps: 2
  per_device_train_batch_size: 5
  logging_steps: 1
  save_strategy: "no"
device: {num_processes: 2, parallel_method: ddp, use_cpu: true}
plugins: {sandbox: {in_process: ["./flaky.py"]}}
"""

FLAKY = '''\
"""A reward of length on the first process; on the second all answers are tied, and half of them cannot be scored."""

import os

from swift_core.plugin_api import report_failure


class Flaky:
    """Fails on one process alone."""

    def __call__(self, completions):
        """Return lengths, or failures."""
        if os.environ["RANK"] == "0":
            return [float(len(text) + 0.01 * row) for row, text in enumerate(completions)]
        for row in range(0, len(completions), 2):
            report_failure(row, "network", "no way there")
        return [None if row % 2 == 0 else 1.0 for row in range(len(completions))]
'''


def trained(folder, rate):
    """Train in two processes; return the exit code and what they printed."""
    (folder / "run.yaml").write_text(RUN.replace("RATE", str(rate)))
    (folder / "flaky.py").write_text(FLAKY)
    return torchrun(folder, "train", "run.yaml", f"output_dir={folder}/out-{rate}", "--allow-code")


def test_a_process_without_pairs_waits_for_none_and_failures_are_counted_over_both(tmp_path):
    code, printed = trained(tmp_path, 0.3)
    assert code == 0, printed
    lines = [json.loads(line) for line in (tmp_path / "out-0.3" / "metrics.jsonl").read_text().splitlines()]
    first, second = [line for line in lines if "reward" in line]
    assert first["tied_pairs"] == 0.5  # all of the second process
    assert first["failed/Flaky"] == 0.25
    assert first["grad_norm"] > 0
    assert (first["failures/Flaky/network"], second["failures/Flaky/network"]) == (10.0, 20.0)


@pytest.mark.slow
def test_what_one_process_saw_stops_the_run_by_the_sum_over_both(tmp_path):
    code, printed = trained(tmp_path, 0.2)
    assert code != 0
    # The second process alone saw 10 of 20; the launcher may end the other before it has said the same.
    assert "reward 'Flaky' failed on 10 of 40 answers (10 network), and reward.max_failure_rate is 0.2." in printed
