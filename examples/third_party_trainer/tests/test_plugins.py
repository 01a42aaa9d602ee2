# ruff: noqa: D100, D103
import json

import pytest
from acme_swift_curriculum.lengths import in_words, row_lengths
from acme_swift_curriculum.procedure import ShortestFirst


def test_the_first_epoch_goes_from_short_to_long():
    assert list(ShortestFirst([5, 2, 9, 2], seed=1)) == [1, 3, 0, 2]


def test_later_epochs_are_drawn_by_seed_and_epoch():
    def drawn(epoch, seed=1):
        sampler = ShortestFirst(range(20), seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert sorted(drawn(1)) == list(range(20))
    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(1)), tuple(drawn(2)), tuple(drawn(1, seed=2))}) == 3


def test_lengths_are_read_from_what_a_run_logged(tmp_path):
    lines = [{"step": 5, "loss": 1.0, "row_length": 7.25}, {"step": 5, "eval_loss": 1.0}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert in_words(row_lengths(tmp_path)) == "step 5: rows of 7.2 tokens"
    with pytest.raises(ValueError, match="has no metrics"):
        row_lengths(tmp_path / "elsewhere")
