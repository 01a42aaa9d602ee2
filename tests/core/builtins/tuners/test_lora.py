import pytest
import torch

from swift_core.assemble.model import Loading, load_weights
from swift_core.builtins.tuners.full import Full
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
