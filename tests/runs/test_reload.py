"""A loss that changes while two processes train with it."""

import json
import sys

import pytest
from tests.runs.ranks import Ranks

LOSS = '''
from swift_core.plugin_api import LossOutput, TokenOutputs


def scaled(tokens: TokenOutputs) -> LossOutput:
    """Cross entropy times a factor."""
    return LossOutput(-FACTOR * tokens.logps, metrics={"factor": tokens.logps.detach() * 0 + FACTOR})
'''

EDIT = '''
import time
from pathlib import Path

from transformers import TrainerCallback

HERE = Path(__file__).parent


class Edit(TrainerCallback):
    """The first process writes the loss anew after the first step, and waits until that was dealt with."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.is_world_process_zero and state.global_step == 1:
            (HERE / "loss.py").write_text((HERE / "new.py").read_text())
        elif not (HERE / "out" / "reloads.jsonl").exists():
            time.sleep(1)
'''

RUN = """
model: {model_id: "demo:tiny"}
data: {dataset: "demo:chat"}
plugins: {reload: [losses]}
device: {num_processes: 2}
train:
  loss_type: ./loss.py:scaled
  callbacks: [./edit.py:Edit]
  max_steps: 90
  logging_steps: 1
  per_device_train_batch_size: 2
  save_strategy: "no"
output_dir: out
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked as on Linux")
def test_two_processes_take_a_changed_loss_at_the_same_step(tmp_path, demo_folder):
    for name, text in (("run.yaml", RUN), ("edit.py", EDIT), ("loss.py", LOSS.replace("FACTOR", "1.0"))):
        (tmp_path / name).write_text(text)
    (tmp_path / "new.py").write_text(LOSS.replace("FACTOR", "2.0"))
    log = Ranks()(tmp_path, 2, "train", "run.yaml", "--allow-code", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")
    (change,) = [json.loads(line) for line in (tmp_path / "out" / "reloads.jsonl").read_text().splitlines()]
    assert change["outcome"] == "taken", log
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    factors = {line["step"]: line["factor"] for line in lines if "factor" in line}  # means over both processes
    assert factors == {step: 1.0 if step <= change["step"] else 2.0 for step in factors}
    assert log.count("reload: ") == 1
