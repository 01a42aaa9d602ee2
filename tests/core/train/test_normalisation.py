"""The gradient of a step is that of the mean over all its items, however the step is cut into micro-batches."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from swift_core.assemble.kinds.pairs import PairCollator
from swift_core.assemble.kinds.tokens import TokenCollator
from swift_core.builtins.cross_entropy import CrossEntropy
from swift_core.contracts.loss import LossOutput
from swift_core.errors import SwiftError
from swift_core.train import outputs
from swift_core.train.logps import HeadCall
from swift_core.train.preference import Preference
from swift_core.train.supervised import Supervised
from swift_loss_zoo.pair.dpo import DPO

VOCABULARY = 61
LENGTHS = [3, 9, 5, 12, 4, 7, 10, 6]


def token_rows():
    generator = torch.Generator().manual_seed(3)
    rows = []
    for index, length in enumerate(LENGTHS):
        ids = torch.randint(1, VOCABULARY, (length,), generator=generator).tolist()
        trained = length // 2
        rows.append({"input_ids": ids, "labels": [-100] * (length - trained) + ids[-trained:], "row": index})
    return rows


def pair_rows():
    generator = torch.Generator().manual_seed(4)
    draw = lambda n: torch.randint(1, VOCABULARY, (n,), generator=generator).tolist()  # noqa: E731 - used three times
    return [
        {"prompt_ids": draw(3), "chosen_ids": draw(n), "rejected_ids": draw(13 - n), "margin": 0.0, "row": i}
        for i, n in enumerate(LENGTHS)
    ]


def trained_weights(trainer):
    trainer.train()
    return {name: value.detach().clone() for name, value in trainer.model.named_parameters()}


def sgd_step(model, loss_of_model):
    """Return the weights after one plain SGD step with the clipping of the run."""
    loss_of_model(model).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad
    return dict(model.named_parameters())


def assert_same_weights(actual, expected):
    for name, value in expected.items():
        torch.testing.assert_close(
            actual[name], value, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


def mean_nll(model, weight=lambda labels: torch.ones(len(labels))):
    """Return the weighted mean over all trained tokens, a row at a time with full logits."""
    numerator = denominator = 0.0
    for row in token_rows():
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])
        scored = labels[1:] != -100
        logits = model(ids).logits[0, :-1][scored]
        weights = weight(labels[1:][scored])
        numerator = numerator + (F.cross_entropy(logits, labels[1:][scored], reduction="none") * weights).sum()
        denominator = denominator + weights.sum()
    return numerator / denominator


@pytest.mark.parametrize("split", [1, 2, 4, 8])
def test_sft_step_is_the_mean_over_tokens_for_every_split(make_parts, tiny_llama, split):
    parts = make_parts(
        CrossEntropy(),
        token_rows(),
        TokenCollator(0),
        per_device_train_batch_size=len(LENGTHS) // split,
        gradient_accumulation_steps=split,
    )
    assert_same_weights(trained_weights(Supervised.build(parts)), sgd_step(tiny_llama(), mean_nll))


class OddTokensDouble:
    """A loss with weights of its own."""

    def __call__(self, tokens):
        return LossOutput(-tokens.logps, weights=1.0 + tokens.labels % 2)


@pytest.mark.parametrize("max_grad_norm", [1.0, 0.0])
@pytest.mark.parametrize("split", [1, 4])
def test_weights_of_a_loss_divide_the_whole_step(make_parts, tiny_llama, split, max_grad_norm, monkeypatch):
    parts = make_parts(
        OddTokensDouble(),
        token_rows(),
        TokenCollator(0),
        per_device_train_batch_size=len(LENGTHS) // split,
        gradient_accumulation_steps=split,
        max_grad_norm=max_grad_norm,
    )
    if not max_grad_norm:
        monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: None)
    expected = sgd_step(tiny_llama(), lambda model: mean_nll(model, lambda labels: 1.0 + labels % 2))
    monkeypatch.undo()
    assert_same_weights(trained_weights(Supervised.build(parts)), expected)


def pair_loss(model, reference):
    """Return DPO's mean over all pairs, a completion at a time with full logits."""

    def logp(model, prompt, completion):
        logps = model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
        return sum(logps[len(prompt) - 1 + i, token] for i, token in enumerate(completion))

    losses = []
    for row in pair_rows():
        both = [(row["prompt_ids"], row["chosen_ids"]), (row["prompt_ids"], row["rejected_ids"])]
        chosen, rejected = (logp(model, *one) - logp(reference, *one).detach() for one in both)
        losses.append(-F.logsigmoid(0.1 * (chosen - rejected)))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("split", [1, 2, 4])
@pytest.mark.parametrize("precompute", [False, True])
def test_dpo_step_is_the_mean_over_pairs_for_every_split(make_parts, tiny_llama, split, precompute):
    reference = tiny_llama(seed=5).eval()
    parts = make_parts(
        DPO(),
        pair_rows(),
        PairCollator(0),
        reference=reference,
        per_device_train_batch_size=len(LENGTHS) // split,
        gradient_accumulation_steps=split,
        precompute_ref_log_probs=precompute,
    )
    expected = sgd_step(tiny_llama(), lambda model: pair_loss(model, reference))
    assert_same_weights(trained_weights(Preference.build(parts)), expected)


def test_the_order_of_pairs_does_not_matter(make_parts, tiny_llama):
    reference = tiny_llama(seed=5)
    steps = [
        trained_weights(Preference.build(make_parts(DPO(), rows, PairCollator(0), reference=reference)))
        for rows in (pair_rows(), pair_rows()[::-1])
    ]
    assert_same_weights(*steps)


def scalar_mean(outputs, labels):
    return -outputs.logps.mean()


def scalar_divided(outputs, labels, num_items_in_batch=None, loss_scale=None, **_):
    logits = outputs.logits[:, :-1]
    total = F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100, reduction="sum")
    return total / num_items_in_batch


@pytest.mark.parametrize("loss", [scalar_mean, scalar_divided])
def test_plain_functions_that_return_a_scalar_are_losses(make_parts, tiny_llama, loss):
    parts = make_parts(loss, token_rows(), TokenCollator(0))
    assert_same_weights(trained_weights(Supervised.build(parts)), sgd_step(tiny_llama(), mean_nll))


def test_logged_loss_is_the_exact_mean_of_the_step(make_parts, tiny_llama):
    parts = make_parts(
        OddTokensDouble(), token_rows(), TokenCollator(0), per_device_train_batch_size=2, gradient_accumulation_steps=4
    )
    trainer = Supervised.build(parts)
    trainer.train()
    expected = mean_nll(tiny_llama(), lambda labels: 1.0 + labels % 2).item()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(expected, rel=1e-5)


def test_evaluation_is_the_mean_over_all_rows(make_parts, tiny_llama):
    reference = tiny_llama(seed=5)
    parts = make_parts(DPO(), pair_rows(), PairCollator(0), reference=reference, per_device_eval_batch_size=3)
    metrics = Preference.build(parts).evaluate()
    assert metrics["eval_loss"] == pytest.approx(pair_loss(tiny_llama(), reference).item(), rel=1e-5)
    assert set(metrics) >= {"eval_reward_margin", "eval_reward_accuracy"}


def broken(outputs):
    return outputs.chosen_logps.mean()


def infinite(outputs):
    return LossOutput(outputs.logps / 0)


def matrix(outputs):
    return LossOutput(outputs.logps[None])


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            broken,
            "loss 'tried' of acme 1 raised AttributeError: TokenOutputs has no 'chosen_logps' in this run; it has",
        ),
        (matrix, r"LossOutput.losses has one dimension, \[item\], got shape \[1, 26\]"),
        (lambda outputs: 1.0, "a loss returns a LossOutput or a scalar tensor, got float"),
        (lambda outputs: outputs.logps, r"returns a scalar, got shape \[26\]"),
        (infinite, "the loss of step 1 is -inf .*; no step was taken with it"),
    ],
)
def test_a_broken_loss_stops_the_run_by_its_name(make_parts, tiny_llama, loss, message):
    trainer = Supervised.build(make_parts(loss, token_rows(), TokenCollator(0)))
    with pytest.raises(SwiftError, match=message):
        trainer.train()
    assert_same_weights(dict(trainer.model.named_parameters()), dict(tiny_llama().named_parameters()))


def test_a_loss_that_reads_logps_never_forms_the_logits(make_parts, monkeypatch):
    trainer = Supervised.build(make_parts(CrossEntropy(), token_rows(), TokenCollator(0)))
    monkeypatch.setattr(HeadCall, "logits", lambda *_: pytest.fail("logits were formed"))
    trainer.train()


class Argmax:
    """A metric on predictions."""

    eats = "predictions"

    def preprocess_logits(self, logits, labels):
        return logits.argmax(-1)

    def compute(self, predictions):
        return {"rows": float(sum(len(values) for values in predictions.values))}


def test_the_loss_and_metrics_of_a_batch_share_one_forward_pass(make_parts, monkeypatch):
    parts = make_parts(CrossEntropy(), token_rows(), TokenCollator(0), per_device_eval_batch_size=4)
    parts.metrics = [("argmax", Argmax())]
    parts.plan.metrics = [SimpleNamespace(plugin=SimpleNamespace(name="argmax"), key="train.metrics")]
    trainer = Supervised.build(parts)
    passes = []
    run = type(trainer.head).run
    monkeypatch.setattr(type(trainer.head), "run", lambda *args: passes.append(1) or run(*args))
    assert trainer.evaluate()["eval_rows"] == len(LENGTHS)
    assert len(passes) == len(LENGTHS) // 4


@pytest.mark.parametrize("tile", [1, 2, 1000])
def test_losses_that_read_logits_have_them_a_tile_at_a_time(make_parts, monkeypatch, tile):
    monkeypatch.setattr(outputs, "TILE_ELEMENTS", tile * 61)
    rows = [{"input_ids": [5, 6, 7, 8], "labels": [-100, 6, 7, 8], "row": 0}]
    loss = CrossEntropy(label_smoothing=0.2, z_loss=0.1)
    trainer = Supervised.build(make_parts(loss, rows, TokenCollator(0)))
    batch = TokenCollator(0)(rows)
    result = loss(trainer.make_outputs(trainer.module, batch))
    result.losses.sum().backward()
    mine = [parameter.grad.clone() for parameter in trainer.module.parameters()]
    trainer.module.zero_grad()
    logits = trainer.module(input_ids=batch["input_ids"]).logits[0, :3]
    smoothed = torch.nn.functional.cross_entropy(logits, batch["labels"][0, 1:], label_smoothing=0.2, reduction="none")
    expected = smoothed + 0.1 * logits.logsumexp(-1) ** 2
    torch.testing.assert_close(result.losses, expected, atol=1e-6, rtol=1e-5)
    expected.sum().backward()
    for grad, parameter in zip(mine, trainer.module.parameters(), strict=True):
        torch.testing.assert_close(grad, parameter.grad, atol=1e-6, rtol=1e-4)
