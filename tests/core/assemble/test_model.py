import importlib.util
import json
import shutil

import pytest
import torch

from swift_core.assemble.dtype import resolve_dtype, resolve_threads
from swift_core.assemble.model import (
    Loading,
    fetch,
    load_model,
    load_reference,
    load_tokenizer,
    load_weights,
    tokenizer_for,
)
from swift_core.contracts.settings import DataSettings, DeviceSettings, ModelSettings, RunSettings
from swift_core.errors import SwiftError
from swift_core.resolve.machine import Machine

PLAIN, UNITS, GPU = Machine(num_gpus=0), Machine(num_gpus=0, has_bf16_units=True), Machine(num_gpus=1)


@pytest.fixture
def copy_of_tiny(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "copy")


@pytest.mark.parametrize(
    ("dtype", "adapter", "size", "machine", "use_cpu", "expected"),
    [
        ("auto", True, 135_000_000, UNITS, False, "bfloat16"),
        ("auto", True, 135_000_000, GPU, False, "bfloat16"),
        ("auto", True, 135_000_000, GPU, True, "float32"),
        ("auto", True, 135_000_000, PLAIN, False, "float32"),
        ("auto", False, 135_000_000, UNITS, False, "float32"),
        ("auto", True, 10_000_000, UNITS, False, "float32"),
        ("float16", False, 1, PLAIN, False, "float16"),
    ],
)
def test_the_type_of_the_weights_follows_the_rule(dtype, adapter, size, machine, use_cpu, expected):
    settings = RunSettings(
        model=ModelSettings(model_id="m", dtype=dtype),
        data=DataSettings(dataset="d"),
        device=DeviceSettings(use_cpu=use_cpu),
    )
    choice = resolve_dtype(settings, adapter, size, machine)
    assert choice.name == expected
    assert choice.reason


@pytest.mark.parametrize(("asked", "size", "threads"), [(0, 130_000, 1), (0, 135_000_000, 0), (3, 130_000, 3)])
def test_small_models_compute_with_one_thread(asked, size, threads):
    assert resolve_threads(asked, size) == threads


def test_a_model_loads_with_its_tokenizer(make_plan, tiny_folder):
    plan = make_plan()
    folder = fetch(plan, plan.settings.model.model_id, "model.model_id")
    tokenizer = tokenizer_for(plan, folder)
    model = load_model(plan, folder, tokenizer)
    assert folder == tiny_folder
    assert model.dtype == torch.float32
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id


def test_padding_falls_back_to_the_end_token(copy_of_tiny):
    config = json.loads((copy_of_tiny / "tokenizer_config.json").read_text())
    del config["pad_token"]
    (copy_of_tiny / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = load_tokenizer(copy_of_tiny)
    assert tokenizer.pad_token == tokenizer.eos_token == "<|im_end|>"


def test_a_tokenizer_without_an_end_token_is_refused(copy_of_tiny):
    config = json.loads((copy_of_tiny / "tokenizer_config.json").read_text())
    del config["eos_token"]
    (copy_of_tiny / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="has no end token"):
        load_tokenizer(copy_of_tiny)


def test_the_run_files_chat_template_wins(make_plan, tmp_path, tiny_folder):
    (tmp_path / "t.jinja").write_text("{{ messages[0]['content'] }}!")
    tokenizer = tokenizer_for(make_plan(model_keys="chat_template: t.jinja"), tiny_folder)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi!"


def test_missing_weights_are_refused_and_not_drawn_at_random(copy_of_tiny):
    from safetensors.torch import load_file, save_file

    weights = load_file(copy_of_tiny / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, copy_of_tiny / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lack 1 tensors of the model, model\.norm\.weight among them"):
        load_weights(copy_of_tiny, Loading())


def test_a_broken_folder_is_an_error_at_its_place_in_the_run_file(make_plan, copy_of_tiny):
    (copy_of_tiny / "model.safetensors").write_bytes(b"broken")
    plan = make_plan(model=copy_of_tiny)
    with pytest.raises(SwiftError) as raised:
        load_model(plan, copy_of_tiny, tokenizer_for(plan, copy_of_tiny))
    (problem,) = raised.value.problems
    assert problem.code == "model-unavailable"
    assert problem.place.line == 2


def test_weights_of_another_shape_are_refused(copy_of_tiny):
    config = json.loads((copy_of_tiny / "config.json").read_text())
    (copy_of_tiny / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_weights(copy_of_tiny, Loading())


def test_quantised_weights_are_refused_without_their_package(tiny_folder):
    if importlib.util.find_spec("bitsandbytes"):
        pytest.skip("bitsandbytes is installed")
    with pytest.raises(ValueError, match="8-bit weights need the package bitsandbytes"):
        load_weights(tiny_folder, Loading(quantization_bit=8))


def test_adapters_need_no_reference_model(make_plan, tiny_folder):
    plan = make_plan("tuner_strategy: lora")
    assert load_reference(plan, load_weights(tiny_folder, Loading())) is None


def test_full_training_keeps_a_frozen_copy_as_reference(make_plan, tiny_folder):
    model = load_weights(tiny_folder, Loading())
    reference = load_reference(make_plan("tuner_strategy: full"), model)
    assert not any(parameter.requires_grad for parameter in reference.parameters())
    assert not reference.training
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    assert not torch.equal(next(model.parameters()), next(reference.parameters()))


def test_another_reference_must_have_the_same_vocabulary(make_plan, tiny_folder, tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(tiny_folder)
    model = load_weights(tiny_folder, Loading())
    config.save_pretrained(tmp_path / "same")
    model.save_pretrained(tmp_path / "same")
    plan = make_plan("stage: dpo", "ref_model_id: ./same")
    assert torch.equal(next(load_reference(plan, model).parameters()), next(model.parameters()))
    config.vocab_size += 8
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "other")
    with pytest.raises(SwiftError, match="can only be compared over one vocabulary"):
        load_reference(make_plan("stage: dpo", "ref_model_id: ./other"), model)
