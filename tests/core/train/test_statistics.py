"""Means over a step that losses share: formed before its first loss, of everything, once; and what a loss remembers."""

import json

import pytest
import torch
import torch.nn.functional as F

from swift_core.assemble.kinds.unpaired import UnpairedCollator, UnpairedRows
from swift_core.contracts.loss import LossOutput
from swift_core.errors import SwiftError
from swift_core.train.forward import OutputHead
from swift_core.train.statistics import STATE_FILE
from swift_core.train.unpaired import Unpaired
from swift_loss_zoo.unpaired.apo_zero_unpaired import APOZeroUnpaired
from swift_loss_zoo.unpaired.bco import BCO
from swift_loss_zoo.unpaired.kto import KTO

VOCABULARY = 61
LENGTHS = [3, 9, 5, 12, 4, 7, 10, 6]


def rows():
    generator = torch.Generator().manual_seed(4)
    draw = lambda n: torch.randint(1, VOCABULARY, (n,), generator=generator).tolist()  # noqa: E731 - used twice
    made = [
        {"prompt_ids": draw(3), "completion_ids": draw(n), "desirable": i % 3 == 0, "row": i, "prompt": str(i)}
        for i, n in enumerate(LENGTHS)
    ]
    return UnpairedRows().finish(made)


def build(make_parts, tiny_llama, loss, data=None, **train):
    reference = tiny_llama(seed=5)
    return Unpaired.build(make_parts(loss, data or rows(), UnpairedCollator(0), reference=reference, **train))


def logp(model, prompt, completion):
    """Return the completion's log-probability with full logits."""
    logps = model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
    return sum(logps[len(prompt) - 1 + i, token] for i, token in enumerate(completion))


def ratio(model, reference, row, completion="completion_ids"):
    """Return pi - ref, a row at a time."""
    one = (row["prompt_ids"], row[completion])
    with torch.no_grad():
        anchor = logp(reference, *one)
    return logp(model, *one) - anchor


def kto_loss(model, reference, data):
    """Return KTO's mean over all rows, with the KL of all rows."""
    with torch.no_grad():
        kl = torch.stack([ratio(model, reference, row, "kl_ids") for row in data]).mean().clamp(min=0)
    signs = [1 if row["desirable"] else -1 for row in data]
    return torch.stack(
        [
            1 - torch.sigmoid(sign * 0.1 * (ratio(model, reference, row) - kl))
            for sign, row in zip(signs, data, strict=True)
        ]
    ).mean()


def bco_loss(model, reference, data):
    """Return BCO's mean over the rows of its first step."""
    rewards = torch.stack([0.1 * ratio(model, reference, row) for row in data])
    signs = torch.tensor([1.0 if row["desirable"] else -1.0 for row in data])
    return -F.logsigmoid(signs * (rewards - rewards.detach().mean())).mean()


@pytest.mark.parametrize(("split", "precompute"), [(1, False), (8, False), (2, True)])
@pytest.mark.parametrize(("loss", "expected"), [(KTO, kto_loss), (BCO, bco_loss)])
def test_a_step_is_that_of_the_formula_over_all_its_rows(make_parts, tiny_llama, split, loss, expected, precompute):
    trainer = build(
        make_parts,
        tiny_llama,
        loss(),
        per_device_train_batch_size=len(LENGTHS) // split,
        gradient_accumulation_steps=split,
        precompute_ref_log_probs=precompute,
    )
    trainer.train()
    model, reference = tiny_llama(), tiny_llama(seed=5)
    value = expected(model, reference, rows())
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    assert trainer.state.log_history[0]["loss"] == pytest.approx(value.item(), rel=1e-5)
    for name, parameter in model.named_parameters():
        wanted = parameter.detach() - 0.1 * parameter.grad
        torch.testing.assert_close(dict(trainer.model.named_parameters())[name], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_held_out_rows_have_one_baseline_whatever_the_batch_size(make_parts, tiny_llama, size):
    trainer = build(make_parts, tiny_llama, KTO(), per_device_eval_batch_size=size)
    metrics = trainer.evaluate()
    with torch.no_grad():
        expected = kto_loss(tiny_llama(), tiny_llama(seed=5), rows()).item()
    assert metrics["eval_loss"] == pytest.approx(expected, rel=1e-5)
    assert metrics["eval_reward_margin"] == pytest.approx(
        metrics["eval_reward_desirable"] - metrics["eval_reward_undesirable"]
    )


def passes_of_a_step(monkeypatch, trainer):
    """Return (reference or policy, with gradient, sequences) of each forward pass of one step."""
    passes, run = [], OutputHead.run

    def counted(self, model, inputs, work):
        who = "reference" if model is trainer.reference._model else "policy"
        passes.append((who, torch.is_grad_enabled(), len(inputs["input_ids"])))
        return run(self, model, inputs, work)

    monkeypatch.setattr(OutputHead, "run", counted)
    trainer.train()
    return sorted(passes)


@pytest.mark.parametrize("split", [1, 4])
def test_kto_runs_each_model_once_on_the_rows_and_once_on_the_mismatched_ones(
    make_parts, tiny_llama, monkeypatch, split
):
    size = len(LENGTHS) // split
    trainer = build(make_parts, tiny_llama, KTO(), per_device_train_batch_size=size, gradient_accumulation_steps=split)
    each = [("policy", False, size), ("policy", True, size), ("reference", False, size), ("reference", False, size)]
    assert passes_of_a_step(monkeypatch, trainer) == sorted(each * split)


@pytest.mark.parametrize(("split", "ahead"), [(1, 0), (4, 4)])
def test_bco_reads_its_rows_ahead_only_in_a_step_of_several_micro_batches(
    make_parts, tiny_llama, monkeypatch, split, ahead
):
    size = len(LENGTHS) // split
    trainer = build(make_parts, tiny_llama, BCO(), per_device_train_batch_size=size, gradient_accumulation_steps=split)
    expected = [("policy", True, size), ("reference", False, size)] * split + [("policy", False, size)] * ahead
    assert passes_of_a_step(monkeypatch, trainer) == sorted(expected)


def test_a_loss_without_mismatched_completions_runs_none(make_parts, tiny_llama, monkeypatch):
    trainer = build(make_parts, tiny_llama, APOZeroUnpaired(), per_device_train_batch_size=8)
    assert passes_of_a_step(monkeypatch, trainer) == [("policy", True, 8), ("reference", False, 8)]


class Twice:
    """A loss that reads the same value for its statistics and for itself."""

    seen: list

    def __init__(self):
        self.seen = []

    def statistics(self, outputs):
        self.seen.append(outputs.logps.detach().clone())
        return {"logps": outputs.logps}

    def __call__(self, outputs, *, statistics):
        self.seen.append(outputs.logps.detach().clone())
        return LossOutput(outputs.logps - statistics["logps"])


def test_both_readings_of_a_step_drop_the_same_units(make_parts, tiny_llama):
    loss = Twice()
    parts = make_parts(loss, rows(), UnpairedCollator(0), per_device_train_batch_size=4, gradient_accumulation_steps=2)
    parts.model.config.attention_dropout = 0.5
    for layer in parts.model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    Unpaired.build(parts).train()
    ahead, later = torch.cat(loss.seen[:2]), torch.cat(loss.seen[2:])
    torch.testing.assert_close(ahead, later)
    with torch.no_grad():
        still = torch.stack([logp(tiny_llama(), row["prompt_ids"], row["completion_ids"]) for row in rows()])
    assert (ahead - still).abs().max() > 1e-3  # something was dropped


def test_what_a_loss_remembers_is_saved_and_comes_back_bit_for_bit(make_parts, tiny_llama, tmp_path):
    settings = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "max_steps": 4}
    whole = build(make_parts, tiny_llama, BCO(), **settings, save_strategy="steps", save_steps=2)
    whole.train()
    checkpoint = tmp_path / "run" / "checkpoint-2"
    assert (checkpoint / STATE_FILE).exists()
    resumed = build(make_parts, tiny_llama, BCO(), **settings)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert torch.equal(resumed.parts.loss.delta, whole.parts.loss.delta)
    assert not torch.equal(whole.parts.loss.delta, BCO().delta)
    for name, value in whole.model.named_parameters():
        assert torch.equal(dict(resumed.model.named_parameters())[name], value), name
    logged = [json.dumps(line["delta"]) for line in whole.state.log_history if "delta" in line]
    again = [json.dumps(line["delta"]) for line in resumed.state.log_history if "delta" in line]
    assert again == logged


def test_evaluation_leaves_what_a_loss_remembers_as_it_is(make_parts, tiny_llama):
    trainer = build(make_parts, tiny_llama, BCO(), per_device_train_batch_size=8)
    trainer.train()
    before = trainer.parts.loss.delta.clone()
    trainer.evaluate()
    assert torch.equal(trainer.parts.loss.delta, before)


def test_a_checkpoint_without_the_state_of_the_loss_is_refused(make_parts, tiny_llama, tmp_path):
    settings = {"per_device_train_batch_size": 8, "save_strategy": "steps", "save_steps": 1}
    build(make_parts, tiny_llama, KTO(), **settings).train()
    with pytest.raises(SwiftError, match="loss 'tried' of acme 1 raised FileNotFoundError"):
        build(make_parts, tiny_llama, BCO(), max_steps=2).train(
            resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-1")
        )


def asks_in_vain(outputs, *, statistics):
    return LossOutput(outputs.logps)


class Sum:
    """Statistics that are no values per item."""

    def statistics(self, outputs):
        return {"sum": outputs.logps.sum()}

    def __call__(self, outputs, *, statistics):
        return LossOutput(outputs.logps)


def test_a_loss_that_asks_for_statistics_it_does_not_define_is_refused(make_parts, tiny_llama):
    message = "raised TypeError: it asks for `statistics` and has no method of that name"
    with pytest.raises(SwiftError, match=message):
        build(make_parts, tiny_llama, asks_in_vain)


@pytest.mark.parametrize("split", [1, 2])
def test_statistics_that_are_no_values_per_item_are_refused(make_parts, tiny_llama, split):
    trainer = build(
        make_parts, tiny_llama, Sum(), per_device_train_batch_size=8 // split, gradient_accumulation_steps=split
    )
    with pytest.raises(SwiftError, match=r"statistics has one dimension, \[item\], got shape \[\] for 'sum'"):
        trainer.train()


def test_a_label_without_rows_has_no_reward_in_the_log(make_parts, tiny_llama):
    wanted = [row for row in rows() if row["desirable"]]
    trainer = build(make_parts, tiny_llama, APOZeroUnpaired(), data=wanted)
    trainer.train()
    (line,) = [line for line in trainer.state.log_history if "loss" in line]
    assert "reward_desirable" in line
    assert not {"reward_undesirable", "reward_margin"} & line.keys()
