"""Losses: finite, with gradient, per item, and truthful about what they read."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from swift_core.contracts.loss import LazyOutputs
from swift_core.plugin_api import (
    ClassOutputs,
    ContrastiveOutputs,
    DistillOutputs,
    LossOutput,
    PairOutputs,
    PolicyOutputs,
    ScoreOutputs,
    StepOutputs,
    TokenOutputs,
    UnpairedOutputs,
)
from swift_core.testing.outputs import given_classes, given_contrastive, given_distill, given_scores, given_steps
from swift_core.train.statistics import Coupling

KIND = "loss"
NUM_PAIRS, NUM_TOKENS, NUM_ROWS, TIME, VOCABULARY = 4, 9, 5, 6, 13


class Batch:
    """A made-up micro-batch: logits, and everything a loss may read of them, for some of its items."""

    shape: tuple[int, ...]
    """Of the logits; the last dimension is the vocabulary."""

    num_items: int
    row: int = 1
    """Items of a row; a row is never cut."""

    def __init__(self, *, spread: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(2)
        self.logits = (spread * torch.randn(self.shape, generator=generator)).requires_grad_()
        self.reference = spread * torch.randn(self.shape, generator=generator)
        self.ids = torch.randint(VOCABULARY, self.shape[:-1], generator=generator)
        self.lengths = torch.randint(1, TIME + 1, self.shape[:-2], generator=generator)
        self.noise = spread * torch.randn(4, *self.shape[:-1], generator=generator)

    def outputs(self, items: slice = slice(None)) -> LazyOutputs:
        """Return what a loss reads of some of the items."""
        raise NotImplementedError


class Tokens(Batch):
    shape = (NUM_TOKENS, VOCABULARY)
    num_items = NUM_TOKENS

    def outputs(self, items: slice = slice(None)) -> TokenOutputs:
        logits, ids = self.logits[items], self.ids[items]
        return TokenOutputs(
            {
                "logps": lambda: token_logps(logits, ids),
                "weights": lambda: torch.ones(len(ids)),
                "rows": lambda: torch.zeros(len(ids), dtype=torch.long),
                "labels": lambda: ids,
                "hidden": lambda: logits,
                "token_logits": lambda: logits,
            }
        )


class Sampled(Batch):
    shape = (NUM_ROWS, TIME, VOCABULARY)
    num_items = NUM_ROWS

    def __init__(self, *, spread: float = 1.0) -> None:
        super().__init__(spread=spread)
        self.old = token_logps(self.logits.detach(), self.ids) + 1e-4 * self.noise[0]

    def outputs(self, items: slice = slice(None)) -> PolicyOutputs:
        logits, ids, lengths = self.logits[items], self.ids[items], self.lengths[items]
        _, advantages, old_values, returns = self.noise[:, items]
        return PolicyOutputs(
            {
                "logps": lambda: token_logps(logits, ids),
                "old_logps": lambda: self.old[items],
                "reference_logps": lambda: token_logps(self.reference[items], ids),
                "advantages": lambda: advantages[:, :1].expand(-1, TIME),
                "mask": lambda: torch.arange(TIME) < lengths[:, None],
                "max_length": lambda: TIME,
                "values": lambda: logits.mean(-1),
                "old_values": lambda: old_values,
                "returns": lambda: returns,
            }
        )


class Pairs(Batch):
    shape = (3, NUM_PAIRS, TIME, VOCABULARY)  # chosen, rejected and gold
    num_items = NUM_PAIRS

    def outputs(self, items: slice = slice(None)) -> PairOutputs:
        values = {"margins": lambda: torch.zeros(NUM_PAIRS)[items]}
        for side, name in enumerate(("chosen", "rejected", "gold")):
            values |= self._side(side, name, items)
        return PairOutputs(values)

    def _side(self, side: int, name: str, items: slice) -> dict:
        ids, lengths = self.ids[side, items], self.lengths[side, items]
        kept = torch.arange(TIME) < lengths[:, None]
        policy = self.logits[side, items]
        own = lambda: token_logps(policy, ids) * kept  # noqa: E731 -- short, and used thrice below
        reference = lambda: token_logps(self.reference[side, items], ids) * kept  # noqa: E731 -- same
        return {
            f"{name}_logps": lambda: own().sum(-1),
            f"{name}_token_logps": own,
            f"{name}_log_sum_p2": lambda: (2 * policy.detach().log_softmax(-1)).logsumexp(-1) * kept,
            f"{name}_lengths": lambda: lengths,
            f"{name}_logits": lambda: policy,
            f"reference_{name}_logps": lambda: reference().sum(-1),
            f"reference_{name}_token_logps": reference,
        }


class Unpaired(Batch):
    shape = (NUM_ROWS, TIME, VOCABULARY)
    num_items = NUM_ROWS

    def outputs(self, items: slice = slice(None)) -> UnpairedOutputs:
        ids, lengths = self.ids[items], self.lengths[items]
        kept = torch.arange(TIME) < lengths[:, None]
        own = lambda: token_logps(self.logits[items], ids) * kept  # noqa: E731 -- short, and used twice below
        reference = lambda: token_logps(self.reference[items], ids) * kept  # noqa: E731 -- same
        return UnpairedOutputs(
            {
                "logps": lambda: own().sum(-1),
                "token_logps": own,
                "reference_logps": lambda: reference().sum(-1),
                "reference_token_logps": reference,
                "lengths": lambda: lengths,
                "desirable": lambda: torch.arange(NUM_ROWS)[items] % 2 == 0,
                "kl_logps": lambda: self.noise[0, items].abs().sum(-1),
                "reference_kl_logps": lambda: torch.zeros(NUM_ROWS)[items],
            }
        )


class Distilled(Batch):
    shape = (NUM_TOKENS, VOCABULARY)
    num_items = NUM_TOKENS
    row = 3

    def outputs(self, items: slice = slice(None)) -> DistillOutputs:
        top = self.reference[items].log_softmax(-1).topk(4)
        return given_distill(
            student_token_logits=self.logits[items],
            teacher_token_logits=self.reference[items],
            teacher_topk_logps=top.values,
            teacher_topk_ids=top.indices,
            labels=self.ids[items],
            rows=(torch.arange(NUM_TOKENS) // self.row)[items],
            weights=torch.ones(NUM_TOKENS)[items],
        )


class Classes(Batch):
    shape = (NUM_ROWS, VOCABULARY)
    num_items = NUM_ROWS

    def outputs(self, items: slice = slice(None)) -> ClassOutputs:
        return given_classes(logits=self.logits[items], labels=self.ids[items])


class Numbers(Batch):
    shape = (NUM_ROWS, 1)
    num_items = NUM_ROWS

    def outputs(self, items: slice = slice(None)) -> ClassOutputs:
        return given_classes(logits=self.logits[items], labels=self.reference[items, 0])


class Seen(Batch):
    shape = (NUM_PAIRS, 2, VOCABULARY)
    num_items = NUM_PAIRS

    def outputs(self, items: slice = slice(None)) -> ContrastiveOutputs:
        image, text = torch.nn.functional.normalize(self.logits[items], dim=-1).unbind(1)
        scale, bias = torch.tensor(5.0), torch.tensor(-2.0)
        return given_contrastive(image_embeds=image, text_embeds=text, logit_scale=scale, logit_bias=bias)


class Scored(Batch):
    shape = (NUM_PAIRS, 2)
    num_items = NUM_PAIRS

    def outputs(self, items: slice = slice(None)) -> ScoreOutputs:
        chosen, rejected = self.logits[items].unbind(-1)
        margins = self.reference[items, 0].abs()
        return given_scores(chosen_scores=chosen, rejected_scores=rejected, margins=margins)


class Steps(Batch):
    shape = (NUM_TOKENS, 2)
    num_items = NUM_TOKENS

    def outputs(self, items: slice = slice(None)) -> StepOutputs:
        labels = torch.linspace(0, 1, NUM_TOKENS)[items]
        return given_steps(step_logits=self.logits[items], labels=labels, rows=torch.zeros_like(labels).long())


BATCHES: dict[str, type[Batch]] = {
    "ClassOutputs": Classes,
    "ContrastiveOutputs": Seen,
    "DistillOutputs": Distilled,
    "PairOutputs": Pairs,
    "PolicyOutputs": Sampled,
    "ScoreOutputs": Scored,
    "StepOutputs": Steps,
    "TokenOutputs": Tokens,
    "UnpairedOutputs": Unpaired,
}
"""What each family of losses is tried on; a new family adds a line."""


def token_logps(logits: Tensor, ids: Tensor) -> Tensor:
    return logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]


def mean(value: LossOutput | Tensor) -> Tensor:
    if isinstance(value, Tensor):
        return value
    weights = torch.ones_like(value.losses) if value.weights is None else value.weights
    return (value.losses * weights).sum() / weights.sum()


def in_a_step(plugin, outputs: LazyOutputs) -> LossOutput:
    """Return what the loss says of a step of one micro-batch; a loss that remembers begins anew."""
    plugin = copy.deepcopy(plugin)
    coupling = Coupling(plugin, lambda value: value)
    coupling.enter(outputs, torch.tensor(NUM_ROWS))
    return plugin(outputs)


@pytest.fixture
def family(source):
    """The kind of batch that the loss eats, by the annotation of its first parameter."""
    assert source.inputs[0] in BATCHES, "annotate the first parameter of __call__"
    return Numbers if source.declared.get("learns_numbers") else BATCHES[source.inputs[0]]


def test_it_returns_one_loss_per_item_with_weights_and_metrics_of_the_same_shape(spec, plugin, family):
    batch = family()
    value = plugin(batch.outputs())
    if isinstance(value, Tensor):
        assert value.shape == ()
        return
    assert value.losses.shape == (batch.num_items,)
    assert value.weights is None or (value.weights.shape == value.losses.shape and bool((value.weights >= 0).all()))
    assert {name: metric.shape for name, metric in value.metrics.items()} == dict.fromkeys(
        value.metrics, value.losses.shape
    )


@pytest.mark.parametrize("spread", [1.0, 100.0], ids=["usual logits", "extreme logits"])
def test_its_value_and_gradient_are_finite(spec, plugin, family, spread):
    batch = family(spread=spread)
    value = mean(plugin(batch.outputs()))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(batch.logits.grad).all()


def test_gradient_flows_to_the_policy(spec, plugin, family):
    batch = family()
    mean(plugin(batch.outputs())).backward()
    assert batch.logits.grad.abs().max() > 1e-6


def test_a_step_against_the_gradient_lowers_it(spec, plugin, family):
    if getattr(plugin, "stops_gradient", False):
        pytest.skip("it says that its gradient is not that of its value")
    batch = family()
    before = mean(plugin(batch.outputs()))
    before.backward()
    with torch.no_grad():
        batch.logits -= 1e-2 * batch.logits.grad / batch.logits.grad.norm()
    assert mean(plugin(batch.outputs())) < before


def test_it_says_truthfully_whether_it_reads_a_reference(spec, plugin, family):
    outputs = family().outputs()
    plugin(outputs)
    read = {name for name in outputs.computed() if name.startswith("reference_")}
    assert bool(read) is bool(getattr(plugin, "needs_reference", False)), f"it read {read or 'none'}"


COLUMNS = {"margin": {"margins"}, "reference": {"gold_logps", "gold_token_logps", "gold_lengths"}}
"""Column of the data -> values that a loss on pairs reads of it."""


def test_it_says_truthfully_which_columns_it_reads(spec, plugin, family):
    if family is not Pairs:
        pytest.skip("columns of pairs alone can be left out of the data")
    outputs = family().outputs()
    plugin(outputs)
    read = {column for column, names in COLUMNS.items() if names & outputs.computed()}
    assert read == set(getattr(plugin, "needs_columns", ()))
    assert read <= set(getattr(type(plugin), "needs_columns", ())), "the class says what any options may need"


def test_it_says_truthfully_whether_items_depend_on_each_other(spec, plugin, family):
    batch = family()
    whole = plugin(batch.outputs())
    if isinstance(whole, LossOutput):
        rows = [slice(start, start + batch.row) for start in range(0, batch.num_items, batch.row)]
        whole, *parts = [in_a_step(plugin, batch.outputs(row)) for row in (slice(None), *rows)]
        alone = torch.allclose(whole.losses, torch.cat([part.losses for part in parts]))
        assert alone is not bool(getattr(plugin, "couples_items", False))


def test_it_is_the_same_when_called_again(spec, plugin, family):
    batch = family()
    assert torch.equal(mean(plugin(batch.outputs())), mean(plugin(batch.outputs())))
