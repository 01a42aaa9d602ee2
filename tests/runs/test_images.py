"""Models that see images learn what they could not know: what a held-out image shows, drawn by this test.

Random models of two families, made offline. Four answers are equally frequent, and two of a pair: chance is 0.25 and
0.5.
"""

import importlib.util
import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from swift_core.run import run
from swift_core.testing.tiny_vision import tiny_vision_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def drawn():
    """Return the example that draws images."""
    spec = importlib.util.spec_from_file_location("drawn_images", ROOT / "examples" / "images" / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def train(tmp_path, drawn):
    """Return a function (family, task, train settings, model) -> what a run on drawn images made better."""

    def start(family, task, *, steps, model=None, name="out", stage="sft", resume="never", num_rows=0, **settings):
        if model is None:
            model = tmp_path / family
            if not model.exists():
                tiny_vision_model(model, family=family)
        pairs = stage == "dpo"
        rows = f"{task}-{stage}-{num_rows}"
        if not (tmp_path / f"{rows}.jsonl").exists():
            drawn.write_rows(tmp_path, rows, num_rows or 16 * steps, tasks=[task], pairs=pairs)
            drawn.write_rows(tmp_path, f"held-{rows}", 96, tasks=[task], pairs=pairs)
        sections = {
            "model": {"model_id": str(model)},
            "data": {"dataset": f"{rows}.jsonl", "val_dataset": f"held-{rows}.jsonl"},
            "train": {
                "stage": stage,
                "tuner_strategy": "full",
                "learning_rate": 3e-3,
                "lr_scheduler_type": "constant",
                "warmup_steps": min(20, steps),
                "max_steps": steps,
                "per_device_train_batch_size": 8 if pairs else 16,
                "per_device_eval_batch_size": 48,
                "metrics": [] if pairs else ["exact_match"],
                "max_completion_length": 16,
                "eval_generation_rows": 96,
                "save_strategy": "no",
                **settings,
            },
            "device": {"use_cpu": True, "num_threads": 1},
            "output_dir": str(tmp_path / name),
        }
        (tmp_path / f"{name}.yaml").write_text(json.dumps(sections))
        folder = run(tmp_path / f"{name}.yaml", resume=resume)
        return folder, json.loads((folder / "result.json").read_text())

    return start


def accuracy(result):
    key = "eval_exact_match" if "eval_exact_match" in result["after"] else "eval_reward_accuracy"
    return result["before"][key], result["after"][key]


def test_models_of_two_families_learn_from_images_they_have_not_seen(train, tmp_path):
    from swift_core.assemble.answering import answer

    folder, result = train("llava", "colour", steps=60, num_rows=480)
    before, after = accuracy(result)
    assert before <= 0.3
    assert after > 0.9
    held_out = [json.loads(line) for line in (tmp_path / "held-colour-sft-480.jsonl").read_text().splitlines()]
    shown = next(row for row in held_out if row["messages"][1]["content"] == "blue")
    (said,) = answer(folder, ["<image>What colour?"], images=[tmp_path / shown["images"][0]])
    assert said == {"trained": "blue"}
    assert (folder / "model" / "processor_config.json").is_file()
    assert accuracy(train("qwen2_vl", "colour", steps=50, num_rows=480, name="other")[1])[1] > 0.9


STEPS = {"colour": 100, "count": 200, "position": 300}
"""Rows seen, by 16: what the slower of two families needs, and half as many again."""


@pytest.mark.slow
@pytest.mark.parametrize("task", STEPS)
@pytest.mark.parametrize("family", ["llava", "qwen2_vl"])
def test_every_family_learns_to_read_something_off_images(train, family, task):
    before, after = accuracy(train(family, task, steps=STEPS[task])[1])
    assert before <= 0.3
    assert after > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llava", "qwen2_vl"])
def test_pairs_teach_which_answer_an_image_makes_right(train, family):
    before, after = accuracy(train(family, "colour", steps=150, stage="dpo")[1])
    assert 0.3 < before < 0.7
    assert after > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llava", "qwen2_vl"])
def test_an_adapter_on_the_language_part_learns_new_words_for_what_frozen_vision_sees(train, family):
    from swift_core.assemble.trained import merged

    first, _ = train(family, "colour", steps=STEPS["colour"], name="first")
    lora = {"tuner_strategy": "lora", "tuner_kwargs": {"lora_rank": 16, "target_modules": "part:language"}}
    folder, result = train(family, "farbe", steps=160, model=first / "model", learning_rate=5e-3, **lora)
    before, after = accuracy(result)
    assert before <= 0.3
    assert after > 0.9
    names = load_file(folder / "adapter" / "adapter_model.safetensors").keys()
    assert names
    assert not any("vis" in name for name in names)
    whole = merged(folder)
    before, after = (load_file(each / "model.safetensors") for each in (first / "model", whole))
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed
    assert not any("vis" in name for name in changed)
    assert any((whole / name).is_file() for name in ("processor_config.json", "preprocessor_config.json"))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llava", "qwen2_vl"])
@pytest.mark.parametrize("tuner", ["full", "lora"])
def test_vision_learns_at_its_own_rate(train, family, tuner):
    """Beside all weights of the language part, or whole beside an adapter on it."""
    groups = [{"modules": "part:vision", "lr_scale": 0.3}, {"modules": "part:aligner", "lr_scale": 2.0}]
    if tuner == "full":
        _, result = train(family, "colour", steps=120, param_groups=groups)
    else:
        kwargs = {"lora_rank": 8, "target_modules": "part:language", "modules_to_save": ["part:vision", "part:aligner"]}
        first, _ = train(family, "colour", steps=STEPS["colour"], name="first")
        parts = {"tuner_strategy": "lora", "tuner_kwargs": kwargs, "param_groups": groups}
        _, result = train(family, "farbe", steps=160, model=first / "model", **parts)
    assert accuracy(result)[1] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_a_run_on_images_goes_on_bit_for_bit(train, tmp_path, stage):
    import shutil

    folder, _ = train("qwen2_vl", "colour", steps=6, stage=stage, save_strategy="steps", save_steps=3)
    whole = load_file(folder / "model" / "model.safetensors")
    for name in ("model", "checkpoint-6"):
        shutil.rmtree(folder / name)
    for name in ("result.json", "report.html"):
        (folder / name).unlink()
    checkpoint = folder / "checkpoint-3"
    train("qwen2_vl", "colour", steps=6, stage=stage, save_strategy="steps", save_steps=3, resume=checkpoint)
    again = load_file(folder / "model" / "model.safetensors")
    assert {name: value.tobytes() for name, value in whole.items()} == {
        name: value.tobytes() for name, value in again.items()
    }
