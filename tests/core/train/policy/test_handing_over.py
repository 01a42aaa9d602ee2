"""Weights for engines that have their own: merged, by the names of files, and the model as it was afterwards."""

from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM

from swift_core.train.engine.whole import merged_, served_weights
from swift_core.train.policy.rollouts import Rollouts

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture
def base(tiny_folder):
    return AutoModelForCausalLM.from_pretrained(tiny_folder)


def trained_adapter(base, **options):
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", **options))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name or "lora_magnitude" in name:
                value.add_(torch.randn(value.shape, generator=torch.Generator().manual_seed(0)) * 0.1)
    return model


@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"modules_to_save": ["lm_head"]}])
def test_what_is_handed_over_computes_what_the_adapted_model_computes(base, tiny_folder, options):
    model = trained_adapter(base, **options).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ids = torch.arange(3, 12)[None]
    wanted = model(ids).logits

    with merged_(model):
        weights = {name: value.clone() for name, value in served_weights(model)}

    other = AutoModelForCausalLM.from_pretrained(tiny_folder).eval()
    assert not torch.allclose(other(ids).logits, wanted, atol=1e-4)
    assert weights.keys() == dict(other.named_parameters()).keys()
    with torch.no_grad():
        for name, value in other.named_parameters():
            value.copy_(weights[name])
    torch.testing.assert_close(other(ids).logits, wanted, atol=1e-5, rtol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())  # bit for bit


def test_adapters_that_are_no_change_of_weights_are_refused(base):
    model = get_peft_model(base, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with pytest.raises(ValueError, match="its adapters are no change of weights"), merged_(model):
        pass


def test_what_a_procedure_put_beside_the_model_stays_here(base):
    names = [name for name, _ in served_weights(base)]
    base.value_head = torch.nn.Linear(2, 1)
    base.value_head.stays_here = True
    assert [name for name, _ in served_weights(base)] == names


class Keeps:
    """An engine that keeps what it was handed."""

    def __init__(self):
        self.versions = {}

    def update_weights(self, weights, version, /):
        self.versions[version] = {name: value.clone() for name, value in weights.items()}


def test_an_engine_is_handed_merged_weights_once_a_step(base):
    model, engine = trained_adapter(base), Keeps()
    with merged_(model):
        merged = {name: value.clone() for name, value in served_weights(model)}
    rollouts = object.__new__(Rollouts)
    rollouts._parts, rollouts._rank = SimpleNamespace(model=model, engine=engine), 0
    rollouts._attached, rollouts._handed_over = False, -1

    for step in (0, 0, 3, 3):
        rollouts._hand_over(step)

    assert list(engine.versions) == [0, 3]
    assert engine.versions[3].keys() == merged.keys()
    assert all(torch.equal(value, merged[name]) for name, value in engine.versions[3].items())
    first = model.get_base_model().model.layers[0].self_attn.q_proj.base_layer.weight
    assert not torch.equal(engine.versions[3]["model.layers.0.self_attn.q_proj.weight"], first)
