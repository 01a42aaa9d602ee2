"""Sizes are read from headers, and counted as the tuners count them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from swift_core.contracts.handover import RunPlan
from swift_core.resolve.memory import estimate
from swift_core.resolve.model_facts import ModelFacts, read_model
from swift_core.resolve.trainable import count_trainable

PlanOf = Callable[..., RunPlan]
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "tie_word_embeddings": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small Llama as transformers saves it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    path = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(LlamaConfig(**{k: v for k, v in CONFIG.items() if k != "architectures"})).save_pretrained(path)
    return path


def test_the_header_gives_the_number_that_torch_counts(folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    facts = read_model(folder)

    model = AutoModelForCausalLM.from_pretrained(folder)
    assert facts.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert facts.stored_bytes == 4 * facts.num_parameters
    assert facts.number("hidden_size") == 16


@pytest.mark.parametrize(
    "tuner",
    ["{lora_rank: 4}", "{lora_rank: 2, target_modules: [q_proj, v_proj]}", "{target_modules: '.*mlp.*_proj'}",
     "{lora_rank: 4, modules_to_save: [embed_tokens]}"],
)  # fmt: skip
def test_the_count_of_lora_is_that_of_peft(plan_of: PlanOf, folder: Path, tuner: str) -> None:
    from transformers import AutoModelForCausalLM

    plan = plan_of(f"model: {{model_id: '{folder}'}}\ndata: {{dataset: demo:chat}}\ntrain: {{tuner_kwargs: {tuner}}}\n")

    count = count_trainable(plan.tuner, read_model(folder))

    model = plan.create(plan.tuner).prepare_model(AutoModelForCausalLM.from_pretrained(folder))
    assert count == sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def test_full_tuning_trains_every_weight(plan_of: PlanOf, folder: Path) -> None:
    text = f"model: {{model_id: '{folder}'}}\ndata: {{dataset: demo:chat}}\ntrain: {{tuner_strategy: full}}\n"
    facts = read_model(folder)

    assert count_trainable(plan_of(text).tuner, facts) == facts.num_parameters


@pytest.mark.parametrize(
    "content", [b"", b"\x05\0\0\0\0\0\0\0nojso", struct.pack("<Q", 1 << 60) + b"{}", b"\x02\0\0\0\0\0\0\0[]"]
)
def test_a_broken_header_gives_no_sizes_and_no_traceback(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    (tmp_path / "config.json").write_text("{broken")

    assert read_model(tmp_path) == ModelFacts(tmp_path)


def test_numbers_of_a_multimodal_config_are_found_in_its_text_part(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"hidden_size": 8}, "hidden_size": None}))

    assert read_model(tmp_path).number("n_embd", "hidden_size") == 8


def test_the_memory_of_a_fully_trained_model_is_the_sum_of_its_parts(plan_of: PlanOf, folder: Path) -> None:
    facts = read_model(folder)
    settings = plan_of(f"model: {{model_id: '{folder}'}}\ndata: {{dataset: demo:chat}}\n").settings

    memory = estimate(
        settings, facts, dtype="float32", trainable=facts.num_parameters, state_bytes=777,
        num_gradients=facts.num_parameters, rows_per_batch=2, tokens_per_row=10, copies=1,
    )  # fmt: skip

    assert memory.weights == memory.gradients == 4 * facts.num_parameters
    assert memory.optimizer == 777
    # 8 h + 2 k + 4 f numbers per token and layer: 8*16 + 2*8 + 4*32 = 272, of 4 bytes, 2 layers, 20 tokens
    assert memory.activations == 272 * 4 * 2 * 20
    assert memory.total == sum((memory.weights, memory.gradients, memory.optimizer, memory.activations, memory.logits))


def test_an_adapter_on_narrow_weights_keeps_float32_for_itself(plan_of: PlanOf, folder: Path) -> None:
    facts = read_model(folder)
    settings = plan_of(f"model: {{model_id: '{folder}'}}\ndata: {{dataset: demo:chat}}\n").settings

    memory = estimate(
        settings, facts, dtype="bfloat16", trainable=100, state_bytes=800, num_gradients=100,
        rows_per_batch=1, tokens_per_row=1, copies=2,
    )  # fmt: skip

    assert memory.weights == 2 * 2 * facts.num_parameters + 4 * 100
    assert (memory.gradients, memory.optimizer) == (400, 800)
