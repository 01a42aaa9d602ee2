"""What the plan says of a tuner is what is built: trained and frozen weights, the adapter's bytes, the optimizer's."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from swift_core.assemble.model import Loading, load_weights
from swift_core.config.load import load
from swift_core.plugins.registry import installed
from swift_core.resolve.adapter_shapes import SHAPES
from swift_core.resolve.model_facts import read_model
from swift_core.resolve.plan import resolve
from swift_core.resolve.state_bytes import state_bytes
from swift_core.resolve.trainable import count_trainable, saved_bytes, trained_shapes

RUN = """\
model: {{model_id: "{model}"}}
data: {{dataset: demo:chat}}
train: {{stage: sft, tuner_strategy: {tuner}, tuner_kwargs: {options}}}
"""

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
some = st.lists(st.sampled_from(MODULES), min_size=1, max_size=4, unique=True)
targets = st.one_of(st.just("all-linear"), some, st.sampled_from([r".*\.mlp\..*_proj", r".*layers\.1\..*_proj"]))
whole = st.sampled_from([[], ["embed_tokens"], ["embed_tokens", "norm"]])
low_rank = {"lora_rank": st.sampled_from([2, 4, 6]), "target_modules": targets, "modules_to_save": whole}
tokens = {"num_virtual_tokens": st.integers(1, 30)}

OPTIONS = {
    "full": {
        "trainable": st.sampled_from([[], ["layers.1"], ["norm", "*.mlp.*"]]),
        "freeze": st.sampled_from([[], ["gate_proj"], ["model.layers.[1-3].mlp.up*"]]),
    },
    "lora": low_rank | {"init_lora_weights": st.sampled_from(["default", "pissa", "olora"])},
    "dora": low_rank,
    "adalora": {"init_r": st.integers(9, 14), "target_modules": targets},
    "vera": {"vera_rank": st.integers(1, 40), "target_modules": targets, "modules_to_save": whole},
    "ia3": {
        "target_modules": st.sampled_from([["k_proj", "down_proj"], ["down_proj", "up_proj", "o_proj"]]),
        "feedforward_modules": st.sampled_from([[], ["down_proj"]]),
        "modules_to_save": whole,
    },
    "prompt": tokens,
    "prefix": tokens,
}


def planned(folder, tuner, options):
    text = RUN.format(model=folder, tuner=tuner, options=json.dumps(options))
    path = folder.parent / "counts.yaml"
    path.write_text(text)
    return resolve(load(path), installed(), planning=True)


def built(plan, folder):
    return plan.create(plan.tuner).prepare_model(load_weights(folder, Loading()))


def test_every_tuner_of_core_is_tried():
    core = {plugin.name for plugin in installed().specs("tuner") if plugin.first_party}
    assert core == {*OPTIONS, "qlora"} == {"full", *SHAPES}


@pytest.mark.parametrize("name", OPTIONS)
@settings(max_examples=5)
@given(data=st.data())
def test_the_plan_knows_every_trained_shape(tiny_folder, name, data):
    options = data.draw(st.fixed_dictionaries({}, optional=OPTIONS[name]))
    plan, facts = planned(tiny_folder, name, options), read_model(tiny_folder)
    model = built(plan, tiny_folder)
    trained = [tuple(p.shape) for p in model.parameters() if p.requires_grad]
    assert sorted(trained_shapes(plan.tuner, facts).values()) == sorted(trained)
    assert count_trainable(plan.tuner, facts) == sum(map(math.prod, trained))


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "full"])
@settings(max_examples=3)
@given(data=st.data())
def test_the_plan_knows_the_bytes_of_the_saved_adapter(tiny_folder, tmp_path_factory, name, data):
    plan = planned(tiny_folder, name, data.draw(st.fixed_dictionaries({}, optional=OPTIONS[name])))
    folder = tmp_path_factory.mktemp("saved")
    plan.create(plan.tuner).save_pretrained(built(plan, tiny_folder), folder)
    saved = sum(tensor.nbytes for tensor in load_file(folder / "adapter_model.safetensors").values())
    assert saved_bytes(plan.tuner, read_model(tiny_folder)) == saved


@pytest.mark.parametrize("name", OPTIONS)
def test_the_plan_knows_the_bytes_of_adams_states(tiny_folder, name):
    plan = planned(tiny_folder, name, {})
    optimizer = torch.optim.AdamW([p for p in built(plan, tiny_folder).parameters() if p.requires_grad])
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    kept = sum(value.nbytes for state in optimizer.state.values() for value in state.values() if value.ndim)
    assert state_bytes(plan.optimizer, trained_shapes(plan.tuner, read_model(tiny_folder)), 4) == kept


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning")
@pytest.mark.parametrize("name", ["lora", "dora", "vera"])
def test_layers_that_store_their_inputs_first_are_counted(tmp_path, name):
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=32)).save_pretrained(tmp_path / "gpt2")
    plan = planned(tmp_path / "gpt2", name, {"target_modules": ["c_attn", "c_fc"]})
    trained = [tuple(p.shape) for p in built(plan, tmp_path / "gpt2").parameters() if p.requires_grad]
    assert sorted(trained_shapes(plan.tuner, read_model(tmp_path / "gpt2")).values()) == sorted(trained)
