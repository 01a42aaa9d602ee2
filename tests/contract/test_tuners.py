"""Tuners: something is trained, it can be saved and read back, and the reference is the model as it was."""

from __future__ import annotations

import pytest
import torch

KIND = "tuner"


@pytest.fixture
def model():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=40,
        max_position_embeddings=32,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config).eval()


TOKENS = torch.tensor([[5, 6, 7, 8]])


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(input_ids=TOKENS, attention_mask=torch.ones_like(TOKENS)).logits


def train_a_little(model) -> None:
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(5):
        optimizer.zero_grad()
        model(input_ids=TOKENS, attention_mask=torch.ones_like(TOKENS), labels=TOKENS).loss.backward()
        optimizer.step()


def test_it_declares_what_a_plan_must_know(spec, source, plugin):
    assert isinstance(source.declared["trains_adapter"], bool)
    assert source.declared["artifact"] == ("adapter" if source.declared["trains_adapter"] else "model")


def test_it_trains_something_and_an_adapter_leaves_the_base_alone(spec, plugin, model):
    base = list(model.parameters())
    prepared = plugin.prepare_model(model)
    assert any(parameter.requires_grad for parameter in prepared.parameters())
    assert any(parameter.requires_grad for parameter in base) is not plugin.trains_adapter


def test_before_training_the_model_answers_as_before_unless_tokens_are_added(spec, plugin, model):
    before = logits(model)
    answered_alike = torch.allclose(logits(plugin.prepare_model(model)), before, atol=1e-6)
    assert answered_alike is not getattr(plugin, "adds_tokens", False)


def test_its_reference_is_the_model_before_training(spec, plugin, model):
    before = logits(model)
    prepared = plugin.prepare_model(model)
    train_a_little(prepared)
    context = plugin.reference(prepared)
    if context is None:
        assert not plugin.trains_adapter
        return
    assert not torch.allclose(logits(prepared), before, atol=1e-4)
    with context:
        assert torch.allclose(logits(prepared), before, atol=1e-6)
    assert not torch.allclose(logits(prepared), before, atol=1e-4)


def test_what_it_saves_is_what_was_trained(spec, plugin, model, tmp_path):
    import copy

    base = copy.deepcopy(model)
    prepared = plugin.prepare_model(model)
    train_a_little(prepared)
    plugin.save_pretrained(prepared, tmp_path)
    assert list(tmp_path.glob("*.safetensors"))
    assert [path.name for path in tmp_path.rglob("*") if path.suffix in {".bin", ".pt", ".pkl"}] == []
    read_back = plugin.from_pretrained(base, tmp_path).eval()
    assert torch.allclose(logits(read_back), logits(prepared), atol=1e-5)
