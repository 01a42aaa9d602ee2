"""Loss scales: pieces that joined are the text again, and a finite weight >= 0 for each."""

from __future__ import annotations

import math

import pytest

from swift_core.plugins.options import build

KIND = "loss_scale"
OPTIONS = {"patterns": {"marks": {"Action:": [2.0, 1.0]}, "patterns": {"[a-z]+": 0.5}}}
"""Options of those that have none to choose for the user."""
TEXTS = ["", "plain", "<think>\n\n</think>\n\nAction: a\nObservation: b <tool_call>{}</tool_call>", "多行\n文字"]


@pytest.fixture
def plugin(spec, target):
    return build(target, OPTIONS.get(spec.name, {}))


@pytest.mark.parametrize("context_type", ["query", "response", "system", "other"])
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("is_last_round", [True, False])
def test_pieces_are_the_text_with_a_weight_each(plugin, context_type, text, is_last_round):
    pieces, weights = plugin.get_loss_scale(text, context_type, is_last_round)
    assert "".join(pieces) == text
    assert len(pieces) == len(weights)
    assert all(math.isfinite(weight) and weight >= 0 for weight in weights)


def test_one_that_decides_what_is_trained_trains_the_last_answer(source, plugin):
    if source.declared.get("base"):
        assert plugin.get_loss_scale("yes", "response", True)[1] == [1.0]
