"""What is scored inside the head is what the model itself predicts, family by family, and so are the gradients."""

import copy
import warnings
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from swift_core.errors import SwiftError
from swift_core.train import outputs as outputs_module
from swift_core.train import tiles
from swift_core.train.forward import OutputHead
from swift_core.train.logps import HeadCall
from swift_core.train.outputs import IGNORED, ScoredTokens

VOCABULARY = 67
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "attn_implementation": "eager",
}
FAMILIES = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
    "llama, tied": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=True)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SHAPE)),
    "gemma2, soft-capped": lambda: Gemma2ForCausalLM(Gemma2Config(**SHAPE, final_logit_softcapping=2.0)),
    "granite, scaled": lambda: GraniteForCausalLM(GraniteConfig(**SHAPE, logits_scaling=0.25)),
    "cohere, scaled": lambda: CohereForCausalLM(CohereConfig(**SHAPE, logit_scale=4.0)),
}
BATCH = {
    "input_ids": torch.tensor([[5, 9, 14, 60, 23, 8, 31], [7, 7, 40, 66, 2, 0, 0], [12, 3, 2, 0, 0, 0, 0]]),
    "attention_mask": torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 3 + [0] * 4]),
    "labels": torch.tensor([[-100, -100, 14, 60, 23, 8, 31], [-100] * 3 + [66, 2] + [-100] * 2, [-100] * 7]),
}
WEIGHTS = torch.tensor([0.3, -1.0, 2.0, 0.5, 1.0, -0.7, 1.3])


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    for name, value in {"TILE_ROWS": 4, "CACHED_ELEMENTS": 4 * 30, "CALLED_ELEMENTS": 1}.items():
        monkeypatch.setattr(tiles, name, value)


def build(family):
    """Return a model with weights large enough that a wrong scale or cap is seen."""
    torch.manual_seed(0)
    model = FAMILIES[family]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0)
    return model.eval()


def adapted(model, **config):
    """Return `model` with random adapters."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)  # peft reads what transformers renames in version 6
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")  # about saving
        return get_peft_model(model, LoraConfig(r=2, init_lora_weights=False, **config)).eval()


def logps_of_the_model(model):
    """Return [token] from the model's own logits."""
    inputs = {name: BATCH[name] for name in ("input_ids", "attention_mask")}
    logps = model(**inputs, use_cache=False).logits[:, :-1].float().log_softmax(-1)
    following = BATCH["labels"][:, 1:]
    return logps.gather(2, following.clamp(min=0)[..., None]).squeeze(2)[following != IGNORED]


def scored(model, **options):
    return ScoredTokens(OutputHead(model), model, BATCH, **options)


def gradients(model, logps):
    """Return the gradients of every trained parameter of a weighted sum of log-probabilities."""
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    found = torch.autograd.grad((logps * WEIGHTS).sum(), list(trained.values()))
    return dict(zip(trained, found, strict=True))


def assert_same(model, ours, own):
    """Log-probabilities and gradients are the same to float32 rounding."""
    torch.testing.assert_close(ours, own, rtol=1e-4, atol=1e-5)
    expected = gradients(model, own)
    scale = max(value.abs().max().item() for value in expected.values())
    for name, value in gradients(model, ours).items():
        named = lambda text, name=name: f"{name}: {text}"  # noqa: E731 - a line long otherwise
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-5 * scale, msg=named)


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_and_gradients_are_those_of_the_models_own_logits(family):
    model = build(family)
    assert_same(model, scored(model).logps, logps_of_the_model(model))


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_is_as_near_to_float32_as_the_models_own_logits_are(family):
    exact = build(family).to(torch.bfloat16).float()
    rounded = copy.deepcopy(exact).to(torch.bfloat16)
    truth = logps_of_the_model(exact)
    expected = gradients(exact, truth)
    errors = {}
    for name, logps in {"ours": scored(rounded).logps, "own": logps_of_the_model(rounded)}.items():
        squares = [(value.float() - expected[n]).square().sum() for n, value in gradients(rounded, logps).items()]
        errors[name] = ((logps - truth).abs().max().item(), torch.stack(squares).sum().sqrt().item())
    for ours, own in zip(errors["ours"], errors["own"], strict=True):
        assert ours <= 1.5 * own


@pytest.mark.parametrize("family", ["llama", "gemma2, soft-capped"])
@pytest.mark.parametrize("targets", [["q_proj", "lm_head"], ["q_proj"]])
def test_adapters_on_the_head_and_beside_it(family, targets):
    model = adapted(build(family), target_modules=targets)
    assert OutputHead(model).call.is_plain is ("lm_head" not in targets)
    assert_same(model, scored(model).logps, logps_of_the_model(model))


def test_a_head_that_is_trained_whole_beside_adapters():
    model = adapted(build("llama"), target_modules=["q_proj"], modules_to_save=["lm_head"])
    assert_same(model, scored(model).logps, logps_of_the_model(model))
    assert any("lm_head" in name for name in gradients(model, scored(model).logps))


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("family", ["llama", "gemma2, soft-capped", "granite, scaled"])
def test_a_head_with_a_bias(family, frozen):
    model = build(family)
    weight = model.lm_head.weight
    model.lm_head = torch.nn.Linear(SHAPE["hidden_size"], VOCABULARY)
    model.lm_head.weight = weight
    model.lm_head.requires_grad_(not frozen)
    model.requires_grad_(True) if not frozen else None
    assert_same(model, scored(model).logps, logps_of_the_model(model))


def test_gradient_checkpointing_changes_nothing():
    model = build("gemma2, soft-capped").train()
    expected = gradients(model, logps_of_the_model(model))
    model.activation_checkpointing_enable({"use_reentrant": False})
    for name, value in gradients(model, scored(model).logps).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("frozen", [False, True])
def test_autocast_forms_products_in_its_type_and_sums_in_float32(frozen):
    model = build("llama")
    model.lm_head.requires_grad_(not frozen)
    with torch.autocast("cpu", torch.bfloat16):
        ours, own = scored(model).logps, logps_of_the_model(model)
    assert ours.dtype == torch.float32
    truth = logps_of_the_model(model)
    assert (ours - truth).abs().max() <= 1.5 * (own - truth).abs().max()
    expected = gradients(model, truth)
    for name, value in gradients(model, ours).items():
        assert value.dtype == torch.float32
        assert (value - expected[name]).norm() <= 0.1 * expected[name].norm(), name


def test_statistics_come_in_the_pass_of_the_log_probabilities_once_they_were_read(monkeypatch):
    model = build("llama")
    head = OutputHead(model)
    calls = []
    real = outputs_module.token_scores
    monkeypatch.setattr(
        outputs_module,
        "token_scores",
        lambda *args, asked, **options: calls.append(sorted(asked)) or real(*args, asked=asked, **options),
    )
    for _ in range(2):
        tokens = ScoredTokens(head, model, BATCH)
        tokens.read("logps")
        tokens.read("entropies")
    assert calls == [[], ["entropies"], ["entropies"]]
    ScoredTokens(head, model, BATCH).read("logps")
    ScoredTokens(head, model, BATCH).read("logps")
    assert calls[-1] == []


def test_what_is_read_late_is_what_would_have_been_read_at_once():
    model = build("gemma2, soft-capped")
    late, at_once = scored(model), scored(model)
    late.read("logps")
    for name in ("entropies", "top1", "log_sum_p2", "token_logits", "logits"):
        torch.testing.assert_close(late.read(name), at_once.read(name), rtol=1e-4, atol=1e-5)
        at_once = scored(model)


def test_logits_are_those_of_the_model():
    model = build("granite, scaled")
    own = model(BATCH["input_ids"], attention_mask=BATCH["attention_mask"]).logits
    kept = BATCH["attention_mask"].bool()
    torch.testing.assert_close(scored(model).logits[kept], own[kept])
    tokens = scored(model)
    torch.testing.assert_close(tokens.token_logits.log_softmax(-1)[range(7), tokens.labels], tokens.logps)


def test_a_layout_puts_the_batchs_tokens_anywhere():
    model = build("llama")
    plain = scored(model)

    swapped = SimpleNamespace(  # the rows in another order, and one of them twice
        inputs={name: BATCH[name][[2, 0, 1, 1]] for name in ("input_ids", "attention_mask")},
        places=torch.arange(28).view(4, 7)[[1, 2, 0]],
    )
    laid_out = scored(model, laid_out=swapped)
    torch.testing.assert_close(laid_out.logps, plain.logps)
    torch.testing.assert_close(laid_out.logits, plain.logits)
    torch.testing.assert_close(laid_out.hidden, plain.hidden)


def test_a_policy_scores_its_reference_in_the_same_pass():
    model = adapted(build("llama"), target_modules=["q_proj"])
    head = OutputHead(model)
    with torch.no_grad(), model.disable_adapter():
        hidden = ScoredTokens(head, model, BATCH, reader="").hidden
        expected = logps_of_the_model(model)
    tokens = ScoredTokens(head, model, BATCH, reference=lambda: hidden)
    assert_same(model, tokens.logps, logps_of_the_model(model))
    torch.testing.assert_close(tokens.read("reference_logps"), expected, rtol=1e-4, atol=1e-5)
    assert not tokens.read("reference_logps").requires_grad


def test_the_models_own_forward_is_back_after_an_error():
    model = build("llama")
    head = OutputHead(model)
    with pytest.raises(ZeroDivisionError):
        head.run(model, BATCH, lambda hidden, _: 1 / 0)
    assert "forward" not in model.lm_head.__dict__
    with pytest.raises(RuntimeError):
        head.run(model, {"input_ids": torch.tensor([[1.5]])}, lambda hidden, _: {})
    assert "forward" not in model.lm_head.__dict__


def test_a_model_that_does_something_unknown_after_its_head_is_refused():
    model = build("llama")
    real = type(model).forward

    class Strange(type(model)):
        def forward(self, *args, **options):
            output = real(self, *args, **options)
            output.logits = output.logits**3
            return output

    OutputHead(model).prove(model, BATCH)
    model.__class__ = Strange
    with pytest.raises(SwiftError, match="changes its logits after the output head"):
        OutputHead(model).prove(model, BATCH)


def test_a_hooked_forward_is_called_and_not_gone_round():
    model = build("llama")
    own = logps_of_the_model(model)
    calls = []
    inner = model.lm_head.forward
    model.lm_head.forward = lambda hidden: calls.append(1) or inner(hidden)
    assert not HeadCall.of(model.lm_head, OutputHead(model).adjust).is_plain
    torch.testing.assert_close(scored(model).logps, own, rtol=1e-4, atol=1e-5)
    assert calls
