"""Whole weights of every tuner, written as one process writes them, come back into a model that trained on."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from swift_core.errors import SwiftError
from swift_core.plugins.options import build
from swift_core.plugins.registry import installed
from swift_core.train.engine.shards import load_weights, whole_weights

TUNERS = [spec.name for spec in installed().specs("tuner") if spec.first_party and spec.name not in ("qlora",)]


def adapted(folder, tuner):
    registry = installed()
    return build(registry.load(registry.resolve("tuner", tuner, folder)), {}).prepare_model(
        AutoModelForCausalLM.from_pretrained(folder)
    )


def trained(model):
    return {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}


@pytest.mark.parametrize("tuner", TUNERS)
def test_what_a_tuner_trains_is_saved_and_put_back(tiny_folder, tmp_path, tuner):
    model = adapted(tiny_folder, tuner)
    with torch.no_grad():
        for number, value in enumerate(model.parameters()):
            value.add_(number * value.requires_grad)
    model.save_pretrained(tmp_path, state_dict=whole_weights(model))
    saved = trained(model)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(value.requires_grad)

    load_weights(model, tmp_path)

    assert saved
    assert all(torch.equal(saved[name], value) for name, value in trained(model).items())


def test_a_checkpoint_that_lacks_a_trained_weight_is_refused(tiny_folder, tmp_path):
    adapted(tiny_folder, "ia3").save_pretrained(tmp_path)
    with pytest.raises(SwiftError, match=r"lacks .* of the weights that are trained"):
        load_weights(adapted(tiny_folder, "lora"), tmp_path)
