"""A broken plugin of the file `broken.py` stops its run with exactly the message in `messages.txt`.

`python tests/core/bad_parts/test_bad_parts.py` writes the messages anew; read the difference before you commit it.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from swift_core.errors import SwiftError
from swift_core.run import run

HERE = Path(__file__).parent
MESSAGES = HERE / "messages.txt"
RUN = """\
model: {{model_id: {model}}}
data: {{dataset: demo:chat#8, val_dataset: demo:chat-heldout#4}}
train:
  max_steps: 1
  logging_steps: 1
  save_strategy: "no"
  eval_generation_rows: 2
  max_completion_length: 2
  {key}: {value}
plugins: {{sandbox: {{mode: "off"}}}}
output_dir: {folder}
"""
KEYS = {
    "loss": "loss_type",
    "tuner": "tuner_strategy",
    "callback": "callbacks",
    "nocallback": "callbacks",
    "metric": "metrics",
    "scheduler": "lr_scheduler_type",
    "optimizer": "optimizer_type",
    "reward": "metrics",
    "scale": "loss_scale",
    "format": "format",
}
NAMES = [
    *("loss_raises", "loss_returns_text", "loss_with_weights_of_another_shape"),
    *("TunerTrainsNothing", "TunerBringsNoCallback", "NoCallback", "MetricKeepsLogits", "optimizer_alone"),
    *("reward_raises", "reward_of_wrong_length", "reward_returns_text"),
    *("LossScaleWeighsLessThanNothing", "FormatReturnsText", "FormatWithoutColumns"),
]
"""What `test_every_kind.py` has not, of plugins in files."""


def kind_of(name: str) -> str:
    """Return the first word of a plugin's name."""
    return re.split(r"_|(?<=[a-z])(?=[A-Z])(?!Callback)", name.removeprefix("Loss"))[0].lower()


def message_of(name: str, model: Path, folder: Path) -> str:
    """Return what the command line would print, without what changes from place to place."""
    plugin, key = f"./broken.py:{name}", KEYS[kind_of(name)]
    value = f"[{plugin}]" if key in ("callbacks", "metrics", "loss_scale") else plugin
    text = RUN.format(
        model=model, folder=folder / "out", key=key, value="[orm_accuracy]" if "reward" in name else value
    )
    if key == "format":
        text = text.replace(f"  format: {value}\n", "").replace("{dataset: ", f"{{format: {plugin}, dataset: ")
    if "reward" in name:
        text += f"reward: {{orms: [{plugin}], on_error: raise}}\n"
    (folder / "broken.py").write_text((HERE / "broken.py").read_text())
    path = folder / "run.yaml"
    path.write_text(text)
    try:
        run(path, allow_code=True)
    except SwiftError as error:
        return re.sub(r"(?:\.|/[^\s()\[\]]*)/(broken\.py|run\.yaml)", r"\1", str(error))
    return "nothing is wrong"


def written() -> dict[str, str]:
    """Return the messages that are kept, by plugin."""
    blocks = MESSAGES.read_text(encoding="utf-8").split("## ")[1:]
    return {name: text.strip() for name, _, text in (block.partition("\n") for block in blocks)}


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_part_stops_its_run_with_its_message(name: str, tiny_folder: Path, tmp_path: Path) -> None:
    message = message_of(name, tiny_folder, tmp_path)
    assert message == written()[name]
    assert name in message
    assert message != "nothing is wrong"


if __name__ == "__main__":
    from swift_core.testing.tiny import tiny_model

    with tempfile.TemporaryDirectory() as scratch:
        tiny, parts = tiny_model(Path(scratch) / "model"), []
        for each in NAMES:
            place = Path(scratch) / each
            place.mkdir()
            parts.append(f"## {each}\n{message_of(each, tiny, place)}\n")
        MESSAGES.write_text("\n".join(parts), encoding="utf-8")
