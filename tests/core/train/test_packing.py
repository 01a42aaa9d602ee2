"""Packed rows: the loss and the gradient are those of the same rows, padded; a resumed run packs as it would have."""

import pytest
import torch
from tests.core.train.families import CASES, VOCABULARY, build

from swift_core.assemble.kinds.tokens import TokenCollator
from swift_core.assemble.packing import PackCollator, PackedRows
from swift_core.builtins.cross_entropy import CrossEntropy
from swift_core.contracts.loss import LossOutput
from swift_core.errors import SwiftError
from swift_core.train.lines import Epochs
from swift_core.train.supervised import Supervised
from swift_core.train.ways import MaskWay, SegmentWay, VarlenWay

LENGTHS = [3, 9, 5, 12, 4, 7, 10, 6, 2, 2]


def token_rows():
    generator = torch.Generator().manual_seed(3)
    rows = []
    for index, length in enumerate(LENGTHS):
        ids = torch.randint(1, VOCABULARY, (length,), generator=generator).tolist()
        trained = length // 2
        rows.append({"input_ids": ids, "labels": [-100] * (length - trained) + ids[-trained:], "row": index})
    return rows


def parts_of(make_parts, packing, loss=None, **train):
    rows, collator = token_rows(), TokenCollator(0)
    if packing:
        rows, collator = PackedRows(rows, 16, 0), PackCollator(collator)
    return make_parts(loss or CrossEntropy(), rows, collator, packing=packing, **train)


def gradients(make_parts, model, packing, loss=None):
    """Return the loss and the gradient of all rows, and the procedure."""
    parts = parts_of(make_parts, packing, loss)
    parts.model = model
    trainer = Supervised.build(parts)
    batch = parts.collator(list(parts.train_dataset))
    trainer._step_items = trainer.count_items(batch).float()
    model.train()
    value = trainer.compute_loss(model, batch)
    value.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return value.detach(), found, trainer


def assert_same_step(packed, padded):
    torch.testing.assert_close(packed[0], padded[0], rtol=1e-5, atol=1e-6)
    largest = max(value.abs().max().item() for value in padded[1].values())
    for name, value in padded[1].items():
        torch.testing.assert_close(
            packed[1][name], value, rtol=1e-4, atol=1e-5 * largest, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize(("family", "kernel"), CASES)
def test_a_step_of_every_family_is_the_padded_one(make_parts, family, kernel):
    model = build(family, kernel)
    padded = gradients(make_parts, model, False)
    packed = gradients(make_parts, model, True)
    assert_same_step(packed, padded)
    assert isinstance(packed[2].head.isolation.way, SegmentWay if kernel == "sdpa" else MaskWay)


def by_row(tokens):
    """A loss that looks at rows: the mean of each row's mean."""
    counts = torch.bincount(tokens.rows)
    return LossOutput(-tokens.logps, weights=1 / counts[tokens.rows])


def on_logits(outputs, labels):
    """A loss that reads the logits of the whole batch."""
    return torch.nn.functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def test_a_loss_that_reads_logits_sees_them_in_rows(make_parts):
    model = build("llama")
    assert_same_step(gradients(make_parts, model, True, on_logits), gradients(make_parts, model, False, on_logits))


def test_a_loss_that_looks_at_rows_still_sees_rows(make_parts):
    model = build("llama")
    assert_same_step(gradients(make_parts, model, True, by_row), gradients(make_parts, model, False, by_row))


def test_the_layers_compute_no_padding(make_parts):
    model = build("llama")
    seen = []
    model.model.layers[0].mlp.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[:-1]))
    trainer = gradients(make_parts, model, True)[2]
    seen.clear()
    trainer.compute_loss(model, trainer.parts.collator(list(trainer.parts.train_dataset)))
    assert seen == [(1, sum(LENGTHS))]


@pytest.mark.parametrize("split", [1, 2])
def test_a_step_is_the_mean_over_tokens_for_every_split(make_parts, split):
    weights = []
    for packing in (True, False):
        parts = parts_of(
            make_parts,
            packing,
            per_device_train_batch_size=4 // split if packing else len(LENGTHS) // split,
            gradient_accumulation_steps=split,
        )
        assert len(parts.train_dataset) == (4 if packing else len(LENGTHS))
        trainer = Supervised.build(parts)
        trainer.train()
        weights.append({name: value.detach().clone() for name, value in trainer.model.named_parameters()})
    for name, value in weights[1].items():
        torch.testing.assert_close(weights[0][name], value, rtol=1e-4, atol=1e-6)


def test_a_model_that_leaks_is_refused(make_parts):
    parts = parts_of(make_parts, True)
    layer = parts.model.model.layers[0]
    plain = layer.forward
    layer.forward = lambda hidden, *rest, **options: plain(hidden + hidden.cumsum(1) * 0.01, *rest, **options)
    with pytest.raises(SwiftError, match="rows cannot be packed for this model: its hidden states are not those of"):
        Supervised.build(parts)


def test_flash_attention_is_told_where_rows_end():
    from swift_core.train.segments import layout_of

    layout = layout_of(torch.ones(3, 4, dtype=torch.int64), [4, 2, 3], [0, 0, 1], shares=False, one_line=True)
    inputs = VarlenWay("flash_attention_2").inputs(layout, torch.device("cpu"), torch.bfloat16)
    assert inputs["attention_mask"] is None
    assert inputs["cu_seq_lens_q"].tolist() == inputs["cu_seq_lens_k"].tolist() == [0, 4, 6, 9]
    assert inputs["cu_seq_lens_q"].dtype == torch.int32
    assert inputs["max_length_q"] == inputs["max_length_k"] == 4
    assert layout.positions.tolist() == [[0, 1, 2, 3, 0, 1, 0, 1, 2]]


class Seen:
    """A data set that notes which rows are taken in which epoch."""

    def __init__(self, rows):
        self._packs, self.epochs = PackedRows(rows, 16, 0), []

    def set_epoch(self, epoch):
        self._packs.set_epoch(epoch)
        if not self.epochs or self.epochs[-1][0] != epoch:  # the loader tells it too
            self.epochs.append((epoch, []))

    def __len__(self):
        return len(self._packs)

    def __getitem__(self, index):
        if self.epochs:
            self.epochs[-1][1].append([row["row"] for row in self._packs[index]])
        return self._packs[index]


def run(make_parts, **train):
    parts = parts_of(make_parts, True, per_device_train_batch_size=1, max_steps=-1, num_train_epochs=3, **train)
    parts.train_dataset = Seen(token_rows())
    trainer = Supervised.build(parts)
    trainer.add_callback(Epochs(parts.train_dataset))
    return parts, trainer


def test_every_epoch_is_dealt_anew_and_a_resumed_one_as_it_was(make_parts):
    parts, trainer = run(make_parts, save_strategy="steps", save_steps=6)
    trainer.train()
    whole = parts.train_dataset.epochs
    assert [epoch for epoch, _ in whole] == [0, 1, 2]
    assert whole[0][1] != whole[1][1]
    weights = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    parts, trainer = run(make_parts, save_strategy="steps", save_steps=6)
    trainer.train(resume_from_checkpoint=str(parts.directory / "checkpoint-6"))
    resumed = parts.train_dataset.epochs
    assert [epoch for epoch, _ in resumed] == [1, 2]
    assert resumed[0][1] == whole[1][1][2:]
    assert resumed[1] == whole[2]
    for name, value in trainer.model.named_parameters():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=0)
