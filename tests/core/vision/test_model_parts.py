"""Parts of a model by name, found from its structure, in tuners and learning rates."""

import pytest
import torch

from swift_core.assemble.param_groups import parameter_groups
from swift_core.assemble.vision.model_parts import linear_modules, parts_of
from swift_core.builtins.tuners.full import Full
from swift_core.builtins.tuners.lora import Lora
from swift_core.contracts.settings import ParamGroupRef

TOWER = {"llava": "model.vision_tower.", "qwen2_vl": "model.visual."}
ALIGNER = {"llava": "model.multi_modal_projector.", "qwen2_vl": "model.visual.merger."}


def expected(seeing, name):
    if name.startswith(ALIGNER[seeing.family]):
        return "aligner"
    return "vision" if name.startswith(TOWER[seeing.family]) else "language"


def trained(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_each_parameter_belongs_to_one_part(seeing):
    model = seeing.model()
    parts = parts_of(model)
    names = [name for name, _ in model.named_parameters()]
    assert {name: parts.part_of(name) for name in names} == {name: expected(seeing, name) for name in names}
    assert {parts.part_of(name) for name in names} == {"vision", "aligner", "language"}


def test_frozen_parts_stay_as_they_are(seeing):
    model = seeing.model()
    Full(freeze=["part:vision"]).prepare_model(model)
    assert trained(model) == {name for name, _ in model.named_parameters() if expected(seeing, name) != "vision"}
    Full(trainable=["part:aligner", "lm_head"]).prepare_model(model)
    assert {expected(seeing, name) for name in trained(model) - {"lm_head.weight"}} == {"aligner"}


def test_lora_on_the_language_part_leaves_vision_frozen(seeing):
    model = Lora(target_modules="part:language", lora_rank=2).prepare_model(seeing.model())
    names = trained(model)
    assert names
    assert all(".language_model." in name and ".lora_" in name for name in names)
    assert len(names) == 2 * 2 * 7


def test_vision_trains_whole_beside_lora_on_language(seeing, draw, records):
    tuner = Lora(target_modules="part:language", modules_to_save=["part:vision", "part:aligner"], lora_rank=2)
    base = seeing.model(torch.float32)
    whole = {name for name, _ in base.named_parameters() if expected(seeing, name) != "language"}
    model = tuner.prepare_model(base)
    names = trained(model)
    plain = {name.removeprefix("base_model.model.").replace(".modules_to_save.default", "") for name in names}
    assert {name for name in plain if ".lora_" not in name} == whole
    rows, collate = seeing.rows([records.chat("<image>What?", "red", draw())])
    batch = collate(rows)
    logits = model(input_ids=batch["input_ids"], **batch["vision"], use_cache=False).logits
    logits.logsumexp(-1).sum().backward()
    grown = {
        name for name, parameter in model.named_parameters() if parameter.grad is not None and parameter.grad.any()
    }
    assert any(".modules_to_save." in name for name in grown)
    assert any(".lora_" in name for name in grown)


def test_what_was_trained_beside_lora_is_read_back(seeing, draw, records, tmp_path):
    tuner = Lora(target_modules="part:language", modules_to_save=["part:vision"], lora_rank=2)
    model = tuner.prepare_model(seeing.model(torch.float64))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1
    rows, collate = seeing.rows([records.chat("<image>What?", "red", draw())])
    batch = collate(rows)
    seen = {name: value.double() if value.is_floating_point() else value for name, value in batch["vision"].items()}
    given = {"input_ids": batch["input_ids"], **seen, "use_cache": False}
    tuner.save_pretrained(model, tmp_path)
    again = tuner.from_pretrained(seeing.model(torch.float64), tmp_path)
    assert torch.equal(again.eval()(**given).logits, model.eval()(**given).logits)
    merged = again.merge_and_unload()
    assert torch.allclose(merged(**given).logits, model(**given).logits, atol=1e-9)


def test_parts_learn_at_their_own_rates(seeing):
    model = seeing.model()
    rules = [ParamGroupRef(modules="part:vision", lr_scale=0.1), ParamGroupRef(modules=["part:aligner"], lr_scale=2.0)]
    groups = parameter_groups(model, 0.0, lr=1.0, rules=rules)
    rates = {name: group.get("lr", 1.0) for group in groups for name in group["param_names"]}
    wanted = {"vision": 0.1, "aligner": 2.0, "language": 1.0}
    assert rates == {name: wanted[expected(seeing, name)] for name, _ in model.named_parameters()}


def test_parts_keep_their_rates_beside_adapters(seeing):
    model = Lora(target_modules=["part:language", "part:vision"], lora_rank=2).prepare_model(seeing.model())
    groups = parameter_groups(model, 0.0, lr=1.0, rules=[ParamGroupRef(modules="part:vision", lr_scale=0.5)])
    rates = {name: group.get("lr", 1.0) for group in groups for name in group["param_names"]}
    assert {rate for name, rate in rates.items() if "language_model" in name} == {1.0}
    assert {rate for name, rate in rates.items() if "language_model" not in name} == {0.5}


def test_linear_modules_leave_the_output_head_out(seeing):
    assert "lm_head" not in linear_modules(seeing.model(), "part:language")


@pytest.mark.parametrize("tuner", [Full(freeze=["part:visoin"]), Lora(target_modules="part:visoin")])
def test_an_unknown_part_is_told_with_those_that_there_are(seeing, tuner):
    with pytest.raises(
        ValueError, match="names no part; there are part:vision, part:audio, part:aligner, part:language"
    ):
        tuner.check(seeing.model())


@pytest.mark.parametrize("tuner", [Full(freeze=["part:vision"]), Lora(target_modules=["part:vision"])])
def test_a_model_of_text_has_no_vision_part(tiny_folder, tuner):
    from swift_core.assemble.model import Loading, load_weights

    with pytest.raises(ValueError, match="'part:vision': the model has no vision part"):
        tuner.check(load_weights(tiny_folder, Loading()))
