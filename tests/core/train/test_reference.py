"""Reference log-probabilities computed once: the same numbers, read again only for the same weights and rows."""

import pytest
import torch

from swift_core.assemble.kinds.pairs import PairCollator
from swift_core.train.preference import Preference
from swift_core.train.reference import Reference
from swift_loss_zoo.pair.dpo import DPO
from swift_loss_zoo.pair.simpo import SimPO


def rows(first_token=1):
    return [
        {"prompt_ids": [first_token, 2], "chosen_ids": [3, 4, 5], "rejected_ids": [6, 7], "margin": 0.0, "row": 0},
        {"prompt_ids": [9], "chosen_ids": [8], "rejected_ids": [7, 6, 5, 4], "margin": 0.0, "row": 1},
    ]


def build(make_parts, reference, data=None, loss=None):
    parts = make_parts(
        loss or DPO(), data or rows(), PairCollator(0), reference=reference, precompute_ref_log_probs=True
    )
    return Preference.build(parts)


def test_precomputed_values_are_those_of_the_model_in_any_batch(make_parts, tiny_llama):
    reference = tiny_llama(seed=5)
    trainer = build(make_parts, reference)
    batch = PairCollator(0)([rows()[1], rows()[0]])
    live = Reference(reference, trainer.reference._head, torch.no_grad)
    torch.testing.assert_close(trainer.reference.on(batch)(), live.on(batch)())


def test_a_second_run_reads_what_the_first_computed(make_parts, tiny_llama, monkeypatch):
    first = build(make_parts, tiny_llama(seed=5))
    monkeypatch.setattr(Reference, "score", lambda *_: pytest.fail("the reference ran again"))
    second = build(make_parts, tiny_llama(seed=5))
    batch = PairCollator(0)(rows())
    torch.testing.assert_close(second.reference.on(batch)(), first.reference.on(batch)())
    assert "computed for 4 rows" in first.parts.facts["reference_log_probs"]
    assert "read from" in second.parts.facts["reference_log_probs"]


@pytest.mark.parametrize(("seed", "first_token"), [(6, 1), (5, 12)])
def test_other_weights_or_rows_are_computed_anew(make_parts, tiny_llama, seed, first_token):
    build(make_parts, tiny_llama(seed=5))
    other = build(make_parts, tiny_llama(seed=seed), rows(first_token))
    assert "computed" in other.parts.facts["reference_log_probs"]


def test_a_loss_without_a_reference_loads_none(make_parts, tiny_llama):
    assert build(make_parts, tiny_llama(seed=5), loss=SimPO()).reference is None


def test_the_reference_runs_without_dropout_and_leaves_training_mode(make_parts, tiny_llama):
    reference = tiny_llama(seed=5)
    reference.config.attention_dropout = 0.9
    reference.train()
    scorer = Reference(reference, Preference.build(make_parts(SimPO(), rows(), PairCollator(0))).head, torch.no_grad)
    scorer._head = type(scorer._head)(reference)
    batch = PairCollator(0)(rows())
    torch.testing.assert_close(scorer.score(batch), scorer.score(batch))
    assert reference.training
