"""A prompt that is computed once: the loss and the gradient are those of prompts that are computed twice."""

import pytest
import torch
from tests.core.train.families import CASES, VOCABULARY, build

from swift_core.assemble.kinds.pairs import PairCollator
from swift_core.builtins.tuners.lora import Lora
from swift_core.errors import SwiftError
from swift_core.train.preference import Preference
from swift_core.train.ways import MaskWay, SegmentWay
from swift_loss_zoo.pair.dpo import DPO
from swift_loss_zoo.pair.ipo import IPO
from swift_loss_zoo.pair.orpo import ORPO
from swift_loss_zoo.pair.simpo import SimPO

LENGTHS = [(9, 5, 7), (14, 3, 9), (1, 4, 2), (6, 6, 6)]
"""Tokens of prompt, chosen and rejected answer; most are longer than the families' window."""


def rows(lengths=LENGTHS):
    generator = torch.Generator().manual_seed(4)
    draw = lambda n: torch.randint(1, VOCABULARY, (n,), generator=generator).tolist()  # noqa: E731 - used three times
    return [
        {"prompt_ids": draw(p), "chosen_ids": draw(c), "rejected_ids": draw(r), "margin": 0.5, "row": index}
        for index, (p, c, r) in enumerate(lengths)
    ]


def gradients(make_parts, model, reference, share_prompt, loss=None, data=None, **train):
    """Return the loss, the gradient and the procedure of one step without an optimizer."""
    parts = make_parts(
        loss or DPO(),
        data or rows(),
        PairCollator(0),
        reference,
        share_prompt=share_prompt,
        save_strategy="no",
        **train,
    )
    parts.model = model
    trainer = Preference.build(parts)
    batch = parts.collator(parts.train_dataset)
    trainer._step_items = torch.tensor(float(len(parts.train_dataset)))
    model.train()
    value = trainer.compute_loss(model, batch)
    value.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return value.detach(), found, trainer


def assert_same_step(shared, unshared, rtol=1e-4):
    torch.testing.assert_close(shared[0], unshared[0], rtol=1e-5, atol=1e-6)
    assert shared[1].keys() == unshared[1].keys()
    largest = max(value.abs().max().item() for value in unshared[1].values())
    for name, value in unshared[1].items():
        torch.testing.assert_close(
            shared[1][name], value, rtol=rtol, atol=1e-5 * largest + 1e-7, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize(("family", "kernel"), CASES)
def test_a_step_of_every_family_is_the_unshared_one(make_parts, family, kernel):
    model, reference = build(family, kernel), build(family, kernel, seed=5)
    unshared = gradients(make_parts, model, reference, False)
    shared = gradients(make_parts, model, reference, True)
    assert_same_step(shared, unshared)
    for head in (shared[2].head, shared[2].reference._head):
        assert isinstance(head.isolation.way, SegmentWay if kernel == "sdpa" else MaskWay)
    assert unshared[2].head.isolation is None


@pytest.mark.parametrize("loss", [IPO(), SimPO(), ORPO(), DPO(label_smoothing=0.1)])
def test_losses_on_pairs_read_the_same(make_parts, loss):
    model, reference = build("llama"), build("llama", seed=5)
    steps = [gradients(make_parts, model, reference, share, loss) for share in (True, False)]
    assert_same_step(*steps)


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_adapters_are_their_own_reference(make_parts, family):
    tuner = Lora(lora_rank=4)
    model = tuner.prepare_model(build(family))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)

    def with_adapters(*arguments, **train):
        parts = make_parts(*arguments, **train)
        parts.tuner = tuner
        return parts

    steps = [gradients(with_adapters, model, None, share) for share in (True, False)]
    assert_same_step(*steps)
    assert all("lora" in name for name in steps[0][1])


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_gradient_checkpointing_runs_the_same_segments_again(make_parts, kernel):
    model, reference = build("llama", kernel), build("llama", kernel, seed=5)
    plain = gradients(make_parts, model, reference, False)
    model.activation_checkpointing_enable({"use_reentrant": False})
    assert_same_step(gradients(make_parts, model, reference, True), plain)


def test_bfloat16_is_shared_too(make_parts):
    model, reference = build("llama").bfloat16(), build("llama", seed=5).bfloat16()
    shared, unshared = (gradients(make_parts, model, reference, share) for share in (True, False))
    assert shared[2].head.isolation is not None
    torch.testing.assert_close(shared[0], unshared[0], rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    "data",
    [
        [{"prompt_ids": [], "chosen_ids": [3, 4, 5], "rejected_ids": [6, 7, 8, 9], "margin": 0.0, "row": 0}] * 2,
        [{"prompt_ids": [1, 2], "chosen_ids": [3, 4, 5], "rejected_ids": [3, 4], "margin": 0.0, "row": 0}] * 2,
        [{"prompt_ids": [1, 2], "chosen_ids": [3], "rejected_ids": [3], "margin": 0.0, "row": 0}] * 2,
    ],
    ids=["no-prompt", "one-begins-with-the-other", "both-the-same"],
)
def test_odd_pairs_are_right(make_parts, data):
    model, reference = build("llama"), build("llama", seed=5)
    steps = [gradients(make_parts, model, reference, share, data=data) for share in (True, False)]
    assert_same_step(*steps)


def test_the_reference_may_be_of_another_family(make_parts):
    model, reference = build("llama"), build("mistral-window", seed=5)
    assert_same_step(*(gradients(make_parts, model, reference, share) for share in (True, False)))


def test_precomputed_reference_values_are_shared_ones(make_parts):
    model, reference = build("llama"), build("llama", seed=5)
    live = gradients(make_parts, model, reference, False)
    assert_same_step(gradients(make_parts, model, reference, True, precompute_ref_log_probs=True), live)


def test_the_layers_compute_the_prompt_once(make_parts):
    model = build("llama")
    seen = []
    model.model.layers[0].mlp.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[:-1]))
    trainer = gradients(make_parts, model, build("llama", seed=5), True)[2]
    seen.clear()
    trainer.compute_loss(model, trainer.parts.collator(trainer.parts.train_dataset))
    assert seen == [(1, sum(sum(lengths) for lengths in LENGTHS))]


def decision(make_parts, share_prompt, data, model=None):
    parts = make_parts(SimPO(), data, PairCollator(0), share_prompt=share_prompt)
    parts.model = model or build("llama")
    return Preference.build(parts).head.isolation, parts.facts["share_prompt"]


def test_auto_shares_where_a_tenth_of_the_tokens_is_saved(make_parts):
    isolation, fact = decision(make_parts, "auto", rows([(20, 10, 10)]))
    assert isolation is not None
    assert fact == "yes: it saves 33% of the tokens"
    isolation, fact = decision(make_parts, "auto", rows([(2, 20, 20)]))
    assert isolation is None
    assert fact == "no: it would save 5% of the tokens"


def test_what_is_written_true_is_done_however_little_it_saves(make_parts):
    assert decision(make_parts, True, rows([(2, 20, 20)]))[0] is not None


class Leaky(torch.nn.Module):
    """A layer that hands the mean of all tokens to each, as what carries a state would."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, hidden, *arguments, **options):
        hidden = self.layer(hidden, *arguments, **options)
        return hidden + hidden.cumsum(1) * 0.01


def leaky():
    model = build("llama")
    model.model.layers[1] = Leaky(model.model.layers[1])
    return model


def test_a_model_that_leaks_is_refused_where_sharing_is_asked_for(make_parts):
    with pytest.raises(SwiftError, match="prompt of a pair cannot be computed once: this model cannot: its hidden"):
        decision(make_parts, True, rows(), leaky())


def test_a_model_that_leaks_is_not_shared_by_auto_and_the_reason_is_told(make_parts, capsys):
    model = leaky()
    isolation, fact = decision(make_parts, "auto", rows(), model)
    assert isolation is None
    assert model.config._attn_implementation == "sdpa"
    assert fact.startswith("no: this model cannot: its hidden states are not those of rows that stand alone")
    assert "prompts are not shared: this model cannot" in capsys.readouterr().err
