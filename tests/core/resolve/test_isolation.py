"""What a configuration tells of a model's way to carry what it has read past the end of a row."""

import pytest
import transformers

from swift_core.resolve.isolation import why_not_isolated

ATTENTION_ALONE = ["Llama", "Mistral", "Mixtral", "Qwen2", "Qwen3", "Gemma", "Gemma2", "Phi3", "Granite", "GptOss"]
WITH_STATE = [
    "Mamba",
    "Mamba2",
    "Jamba",
    "Bamba",
    "Zamba2",
    "FalconH1",
    "Qwen3Next",
    "RecurrentGemma",
    "NemotronH",
    "Lfm2",
]


@pytest.mark.parametrize("name", ATTENTION_ALONE)
def test_nothing_speaks_against_models_of_attention_alone(name):
    assert why_not_isolated(getattr(transformers, f"{name}Config")().to_dict()) == ""


@pytest.mark.parametrize("name", WITH_STATE)
def test_models_that_carry_a_state_are_known_by_their_configuration(name):
    assert "past the end of a row" in why_not_isolated(getattr(transformers, f"{name}Config")().to_dict())


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"layer_types": ["full_attention", "linear_attention", "conv"]}, "layers of the kind conv, linear_attention"),
        ({"text_config": {"mamba_d_state": 16}}, "mamba_d_state in its configuration"),
        ({"layer_types": ["chunked_attention"]}, "attend in chunks"),
        ({"attention_chunk_size": 8192}, "attend in chunks"),
        ({"alibi": True}, "ALiBi"),
        ({"model_type": "bloom"}, "ALiBi"),
        ({"model_type": "rwkv"}, "carries a state"),
    ],
)
def test_the_reason_names_what_was_found(config, reason):
    assert reason in why_not_isolated(config)


@pytest.mark.parametrize("config", [{}, {"layer_types": None, "mamba_d_state": None}, {"text_config": None}])
def test_what_is_not_said_speaks_against_nothing(config):
    assert why_not_isolated(config) == ""
