"""A model that hears learns what it could not know: the pitch of a tone it has not heard, played by this test.

A random Qwen2-Audio-like model, made offline. Four tones are equally frequent, and two answers of a pair: chance is
0.25 and 0.5.
"""

import importlib.util
import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from swift_core.run import run
from swift_core.testing.tiny_audio import tiny_audio_model

EXAMPLE = Path(__file__).parents[2] / "examples" / "sounds" / "make.py"


@pytest.fixture(scope="session")
def played():
    """Return the example that plays tones."""
    spec = importlib.util.spec_from_file_location("played_sounds", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def train(tmp_path, played):
    """Return a function (task, steps, train settings, model) -> the run's folder and what it made better."""

    def start(task, *, steps, num_rows=0, model=None, name="out", stage="sft", **settings):
        if model is None:
            model = tiny_audio_model(tmp_path / "model")
        pairs = stage == "dpo"
        played.write_rows(tmp_path, f"{name}-rows", num_rows or 16 * steps, task=task, pairs=pairs)
        played.write_rows(tmp_path, f"{name}-held", 48, task=task, pairs=pairs)
        sections = {
            "model": {"model_id": str(model)},
            "data": {"dataset": f"{name}-rows.jsonl", "val_dataset": f"{name}-held.jsonl"},
            "train": {
                "stage": stage,
                "tuner_strategy": "full",
                "learning_rate": 3e-3,
                "lr_scheduler_type": "constant",
                "warmup_steps": 20,
                "max_steps": steps,
                "per_device_train_batch_size": 8 if pairs else 16,
                "per_device_eval_batch_size": 48,
                "metrics": [] if pairs else ["exact_match"],
                "max_completion_length": 8,
                "eval_generation_rows": 48,
                "save_strategy": "no",
                **settings,
            },
            "device": {"use_cpu": True, "num_threads": 1},
            "output_dir": str(tmp_path / name),
        }
        (tmp_path / f"{name}.yaml").write_text(json.dumps(sections))
        folder = run(tmp_path / f"{name}.yaml")
        return folder, json.loads((folder / "result.json").read_text())

    return start


def accuracy(result):
    key = "eval_exact_match" if "eval_exact_match" in result["after"] else "eval_reward_accuracy"
    return result["before"][key], result["after"][key]


def test_a_model_learns_the_pitch_of_tones_it_has_not_heard(train, tmp_path):
    from swift_core.assemble.answering import answer

    folder, result = train("tone", steps=60, num_rows=320)
    before, after = accuracy(result)
    assert before <= 0.3
    assert after > 0.9
    held_out = [json.loads(line) for line in (tmp_path / "out-held.jsonl").read_text().splitlines()]
    (said,) = answer(folder, ["<audio>Which tone is it?"], sounds=[tmp_path / held_out[0]["audios"][0]])
    assert said == {"trained": held_out[0]["messages"][1]["content"]}
    assert (folder / "model" / "processor_config.json").is_file()


@pytest.mark.slow
def test_a_model_learns_to_count_beeps(train):
    before, after = accuracy(train("count", steps=300)[1])
    assert before <= 0.35
    assert after > 0.9


@pytest.mark.slow
def test_pairs_teach_which_answer_a_tone_makes_right(train):
    before, after = accuracy(train("tone", steps=150, stage="dpo")[1])
    assert 0.3 < before < 0.7
    assert after > 0.9


@pytest.mark.slow
def test_an_adapter_on_the_language_part_learns_from_what_a_frozen_tower_hears(train):
    """New words for tones: of a model that knows them by others."""
    first, _ = train("tone", steps=100, name="first")
    lora = {"tuner_strategy": "lora", "tuner_kwargs": {"lora_rank": 16, "target_modules": "part:language"}}
    folder, result = train("ton", steps=160, model=first / "model", learning_rate=5e-3, **lora)
    before, after = accuracy(result)
    assert before <= 0.3
    assert after > 0.9
    names = load_file(folder / "adapter" / "adapter_model.safetensors").keys()
    assert names
    assert not any("audio_tower" in name for name in names)
