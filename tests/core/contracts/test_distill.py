"""A loss over tiles: its value and gradient are those of the whole, and one tile's logits are alive at a time."""

import weakref

import pytest
import torch

from swift_core.contracts.distill import DistillOutputs

NUM_TOKENS, HIDDEN, VOCABULARY = 7, 3, 5


class Models:
    """A student's hidden states and head, and the logits that it formed."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        draw = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)  # noqa: E731
        self.hidden, self.head = draw(NUM_TOKENS, HIDDEN).requires_grad_(), draw(VOCABULARY, HIDDEN).requires_grad_()
        self.teacher = draw(NUM_TOKENS, VOCABULARY)
        self.alive, self.most, self.formed = weakref.WeakSet(), 0, []

    def logits(self, span):
        logits = self.hidden[span] @ self.head.T
        self.alive.add(logits)
        self.most = max(self.most, len(self.alive))
        self.formed.append(span.start)
        return logits

    def outputs(self, span):
        return DistillOutputs(
            {
                "student_token_logits": lambda: self.logits(span),
                "teacher_token_logits": lambda: self.teacher[span],
            }
        )

    def tiled(self, size):
        spans = [slice(start, start + size) for start in range(0, NUM_TOKENS, size)]
        tiles = [lambda span=span: self.outputs(span) for span in spans]
        return DistillOutputs({"tiles": lambda: tiles, "student_logps": lambda: self.hidden.sum(-1)})


def squares(tile):
    return (tile.student_token_logits - tile.teacher_token_logits).square().sum(-1)


@pytest.mark.parametrize("size", [1, 2, 7, 50])
def test_value_and_gradient_are_those_of_the_whole(size):
    models = Models()
    tiled, whole = models.tiled(size).map_tiles(squares), squares(models.outputs(slice(0, NUM_TOKENS)))
    torch.testing.assert_close(tiled, whole)
    weights = torch.arange(float(NUM_TOKENS), dtype=torch.float64)
    gradients = [torch.autograd.grad((loss * weights).sum(), [models.hidden, models.head]) for loss in (tiled, whole)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_logits_are_formed_once_for_each_pass_and_one_tile_at_a_time():
    models = Models()
    losses = models.tiled(2).map_tiles(squares)
    assert models.formed == [0, 2, 4, 6]
    assert not models.alive
    losses.sum().backward()
    assert sorted(models.formed) == [0, 0, 2, 2, 4, 4, 6, 6]
    assert models.most == 1


def test_without_tokens_there_is_an_empty_loss_that_can_be_differentiated():
    empty = torch.zeros(0, requires_grad=True)
    losses = DistillOutputs({"tiles": list, "student_logps": lambda: empty}).map_tiles(squares)
    assert losses.shape == (0,)
    losses.sum().backward()
