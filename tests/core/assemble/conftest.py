"""Plans of small run files on the random tiny model."""

from __future__ import annotations

import pytest

from swift_core.config.load import load
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve

RUN = """\
model:
  model_id: {model}
{model_keys}
data:
  dataset: demo:chat
train:
  max_steps: 2
{train}
"""


@pytest.fixture
def make_plan(tmp_path, tiny_folder):
    """Return a function (lines of `train`, lines of `model`, model id) -> the plan of such a run file."""

    def make(train="", model_keys="", model=None):
        path = tmp_path / "run.yaml"
        indented = [f"  {line}" for line in train.splitlines()]
        keys = [f"  {line}" for line in model_keys.splitlines()]
        path.write_text(RUN.format(model=model or tiny_folder, model_keys="\n".join(keys), train="\n".join(indented)))
        return resolve(load(path), installed())

    return make
