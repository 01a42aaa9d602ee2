import re

import pytest
import torch

from swift_core.assemble.model import Loading, load_weights
from swift_core.assemble.param_groups import parameter_groups
from swift_core.builtins.tuners.dora import Dora
from swift_core.builtins.tuners.full import Full
from swift_core.builtins.tuners.ia3 import IA3
from swift_core.builtins.tuners.lora import Lora

IDS = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture
def model(tiny_folder):
    return load_weights(tiny_folder, Loading())


@torch.no_grad()
def logits(model):
    return model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits


def test_a_known_adapter_adds_alpha_over_rank_times_b_a(model):
    weight = model.get_submodule("model.layers.0.self_attn.q_proj").weight.clone()
    prepared = Lora(lora_rank=4, lora_alpha=12.0, target_modules=["q_proj"]).prepare_model(model)
    module = prepared.get_submodule("base_model.model.model.layers.0.self_attn.q_proj")
    with torch.no_grad():
        module.lora_B["default"].weight.normal_()
    b, a = module.lora_B["default"].weight, module.lora_A["default"].weight
    x = torch.randn(3, weight.shape[1])
    assert torch.allclose(module(x), x @ (weight + 3.0 * b @ a).T, atol=1e-5)


def test_all_linear_spares_the_output_head(model):
    prepared = Lora().prepare_model(model)
    trained = {name for name, parameter in prepared.named_parameters() if parameter.requires_grad}
    assert len(trained) == 2 * 7 * 2
    assert not any("lm_head" in name for name in trained)


def test_modules_to_save_are_trained_whole_and_read_back(model, tiny_folder, tmp_path):
    tuner = Lora(modules_to_save=["embed_tokens"])
    prepared = tuner.prepare_model(model)
    with torch.no_grad():
        for parameter in prepared.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    tuner.save_pretrained(prepared, tmp_path)
    read_back = tuner.from_pretrained(load_weights(tiny_folder, Loading()), tmp_path)
    assert torch.equal(logits(read_back), logits(prepared))


def test_adapters_of_a_16_bit_model_keep_float32_weights_and_no_float32_copy_of_their_input(tiny_folder):
    """Against peft's own way: the same logits to the type's rounding, no float32 input among what is kept."""
    kept = {}
    for way in ("ours", "peft"):
        prepared = Lora().prepare_model(load_weights(tiny_folder, Loading(dtype="bfloat16")))
        adapters = {name: value for name, value in prepared.named_parameters() if value.requires_grad}
        assert {value.dtype for value in adapters.values()} == {torch.float32}
        generator = torch.Generator().manual_seed(1)
        for value in adapters.values():
            value.data.copy_(torch.randn(value.shape, generator=generator) * 0.05)
        if way == "peft":
            del prepared.get_base_model().forward
            for module in prepared.modules():
                vars(module).pop("cast_input_dtype_enabled", None)
        kept[way], result = kept_bytes(prepared)
        kept[f"{way} logits"] = result.detach()
        result.float().square().sum().backward()
        assert all(value.grad.dtype == torch.float32 for value in adapters.values())
    assert kept["ours"] < 0.8 * kept["peft"]
    torch.testing.assert_close(kept["ours logits"], kept["peft logits"], rtol=0.05, atol=0.05)


def kept_bytes(model):
    """Return the bytes kept for the backward pass beside weights, and the logits."""
    weights = {value.untyped_storage().data_ptr() for value in model.parameters()}
    found = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = (storage.nbytes(), tensor)  # holds it, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = model(input_ids=IDS.repeat(64, 8), use_cache=False).logits
    return sum(size for place, (size, _) in found.items() if place not in weights), result


def test_a_16_bit_model_with_adapters_answers(tiny_folder):
    prepared = Lora().prepare_model(load_weights(tiny_folder, Loading(dtype="bfloat16")))
    assert prepared.generate(input_ids=IDS, max_new_tokens=2, do_sample=False).shape[1] > IDS.shape[1]


def test_a_model_without_adapters_is_its_own_reference(model):
    before = logits(model)
    with Lora().reference(model):
        assert torch.equal(logits(model), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lora_rank": 0}, r"^lora_rank must be > 0, got 0$"),
        ({"lora_dropout": 1.0}, r"^lora_dropout must be in \[0, 1\), got 1.0$"),
        ({"target_modules": []}, r"^target_modules must name at least one module"),
        ({"lora_rank": 3, "init_lora_weights": "orthogonal"}, r"^lora_rank must be even"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Lora(**options)


def test_modules_that_the_model_has_not_are_refused(model):
    with pytest.raises(ValueError, match="no_such"):
        Lora(target_modules=["no_such"]).prepare_model(model)


def test_full_has_no_reference_and_refuses_quantised_weights(model):
    assert Full().reference(model) is None
    model.is_quantized = True
    with pytest.raises(ValueError, match="quantised weights cannot be trained"):
        Full().prepare_model(model)


def trained_a_little(prepared):
    """Move every trained weight of `prepared` a little, the same way each time."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in prepared.parameters():
            if value.requires_grad:
                value.add_(torch.randn(value.shape, generator=generator) * 0.05)
    return prepared


def test_pissa_begins_from_the_largest_singular_values_of_each_weight(model):
    weight = model.get_submodule("model.layers.0.self_attn.q_proj").weight.detach().clone()
    prepared = Lora(lora_rank=4, lora_alpha=8.0, init_lora_weights="pissa").prepare_model(model)
    layer = prepared.get_submodule("base_model.model.model.layers.0.self_attn.q_proj")
    update = 2.0 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    u, s, v = torch.linalg.svd(weight.double())
    best = (u[:, :4] * s[:4]) @ v[:4]
    torch.testing.assert_close(update.double(), best, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(layer.base_layer.weight.double(), weight - best, atol=1e-5, rtol=1e-4)


FROM_BASE = [
    {"init_lora_weights": "pissa"},
    {"init_lora_weights": "pissa", "pissa_niter": 8, "use_rslora": True},
    {"init_lora_weights": "olora"},
]


@pytest.mark.parametrize("options", FROM_BASE)
def test_what_begins_from_base_weights_has_the_model_before_training_as_its_reference(model, options):
    before = logits(model)
    tuner = Lora(lora_rank=4, **options)
    prepared = trained_a_little(tuner.prepare_model(model))
    moved = logits(prepared)
    assert (moved - before).abs().max() > 1e-3
    with tuner.reference(prepared):
        torch.testing.assert_close(logits(prepared), before, atol=2e-5, rtol=0)
    assert torch.equal(logits(prepared), moved)


@pytest.mark.parametrize("options", FROM_BASE)
def test_what_begins_from_base_weights_is_saved_as_an_update_of_the_model_itself(model, tiny_folder, tmp_path, options):
    tuner = Lora(lora_rank=4, modules_to_save=["embed_tokens"], **options)
    prepared = trained_a_little(tuner.prepare_model(model))
    tuner.save_pretrained(prepared, tmp_path)
    read_back = tuner.from_pretrained(load_weights(tiny_folder, Loading()), tmp_path)
    torch.testing.assert_close(logits(read_back), logits(prepared), atol=2e-5, rtol=0)
    assert read_back.peft_config["default"].r == 8


def test_a_backward_pass_is_not_disturbed_by_the_reference_between(model):
    tuner = Lora(lora_rank=4, init_lora_weights="olora")
    prepared = trained_a_little(tuner.prepare_model(model))
    trained = [value for value in prepared.parameters() if value.requires_grad]

    def gradients(*, between):
        loss = prepared(input_ids=IDS).logits.square().sum()
        if between:
            with torch.no_grad(), tuner.reference(prepared):
                logits(prepared)
        return torch.autograd.grad(loss, trained)

    undisturbed = gradients(between=False)
    assert all(torch.equal(a, b) for a, b in zip(undisturbed, gradients(between=True), strict=True))


def test_an_adapter_goes_on_and_its_reference_is_that_adapter(model, tiny_folder, tmp_path):
    first = Lora(lora_rank=4)
    prepared = trained_a_little(first.prepare_model(model))
    before = logits(prepared)
    first.save_pretrained(prepared, tmp_path / "adapter")
    second = Lora(adapter=str(tmp_path))
    gone_on = second.prepare_model(load_weights(tiny_folder, Loading()))
    assert torch.equal(logits(gone_on), before)
    trained_a_little(gone_on)
    assert not torch.equal(logits(gone_on), before)
    with second.reference(gone_on):
        assert torch.equal(logits(gone_on), before)
    second.save_pretrained(gone_on, tmp_path / "again")
    read_back = second.from_pretrained(load_weights(tiny_folder, Loading()), tmp_path / "again")
    assert torch.equal(logits(read_back), logits(gone_on))


def test_an_adapter_of_another_kind_or_shape_is_refused_before_a_model_is_loaded(tiny_folder, tmp_path):
    for tuner, name in ((IA3(), "factors"), (Lora(lora_rank=4), "adapter")):
        tuner.save_pretrained(tuner.prepare_model(load_weights(tiny_folder, Loading())), tmp_path / name)
    with pytest.raises(ValueError, match=r"is of the kind IA3, not LORA$"):
        Lora(adapter=str(tmp_path / "factors"))
    with pytest.raises(ValueError, match=r"has lora_rank 4, and 16 is asked for$"):
        Lora(adapter=str(tmp_path), lora_rank=16)
    with pytest.raises(ValueError, match=r"has no magnitudes; go on with tuner lora$"):
        Dora(adapter=str(tmp_path))
    with pytest.raises(ValueError, match=r"nowhere' is no folder with an adapter_config.json$"):
        Lora(adapter=str(tmp_path / "nowhere"))


def test_loraplus_lets_b_learn_faster(model):
    tuner = Lora(loraplus_lr_ratio=16.0)
    groups = parameter_groups(tuner.prepare_model(model), 0.1, lr=2.0, tuner=tuner)
    rates = {name: group.get("lr", 2.0) for group in groups for name in group["param_names"]}
    assert {rate for name, rate in rates.items() if ".lora_A." in name} == {2.0}
    assert {rate for name, rate in rates.items() if ".lora_B." in name} == {32.0}


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["q_prj"], "target_modules: the model has no module 'q_prj'. Did you mean 'q_proj'"),
        (["q_proj", "qkv"], "target_modules: the model has no module 'qkv'; it has act_fn, down_proj"),
        (r".*\.q_prooj", "fits no module; a text is a regular expression over whole names. Did you mean 'q_proj'"),
    ],
)
def test_every_pattern_must_fit_a_module(model, targets, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Lora(target_modules=targets).check(model)


def test_a_regular_expression_picks_modules(model):
    prepared = Lora(target_modules=r"model\.layers\.1\..*v_proj").prepare_model(model)
    trained = {name for name, parameter in prepared.named_parameters() if parameter.requires_grad}
    assert len(trained) == 2
    assert all(".layers.1." in name and "v_proj" in name for name in trained)
