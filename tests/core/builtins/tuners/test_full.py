import pytest

from swift_core.assemble.model import Loading, load_weights
from swift_core.builtins.tuners.full import Full


@pytest.fixture
def model(tiny_folder):
    return load_weights(tiny_folder, Loading())


def trained(tuner, model):
    return {name for name, parameter in tuner.prepare_model(model).named_parameters() if parameter.requires_grad}


def test_all_weights_are_trained_when_nothing_is_said(model):
    assert trained(Full(), model) == {name for name, _ in model.named_parameters()}


def test_patterns_choose_what_is_trained_and_frozen_ones_win(model):
    names = trained(Full(trainable=["layers.1", "norm"], freeze=["*.mlp.*"]), model)
    assert "model.layers.1.self_attn.q_proj.weight" in names
    assert "model.norm.weight" in names
    assert "model.layers.0.input_layernorm.weight" in names
    assert not any("mlp" in name or name.startswith("model.layers.0.self_attn") for name in names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": ["embed_token_s"]}, r"^freeze 'embed_token_s' fits no parameter. Did you mean 'embed_tokens'\?$"),
        ({"trainable": ["*.q_prj.*"]}, r"^trainable '\*.q_prj.\*' fits no parameter. Did you mean 'q_proj'"),
        ({"freeze": ["model", "lm_head"]}, r"^freeze leaves no weight to train$"),
    ],
)
def test_patterns_that_fit_nothing_or_freeze_all_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        Full(**options).prepare_model(model)
