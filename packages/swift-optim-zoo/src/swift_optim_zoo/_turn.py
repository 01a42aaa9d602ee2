"""How a projection's new bases lie in its old ones, and what that does to moments."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor  # noqa: TC002 - fields of a tuple


class Turn(NamedTuple):
    """How new bases lie in the old ones: old^T new, [rank, rank]; None where the identity is used."""

    left: Tensor | None
    right: Tensor | None

    def mean(self, moment: Tensor) -> Tensor:
        """Return a moment linear in the gradient in the new coordinates."""
        turned = moment if self.left is None else self.left.T @ moment
        return turned if self.right is None else turned @ self.right

    def square(self, moment: Tensor) -> Tensor:
        """Return a mean of squares in the new coordinates, as if the old ones were uncorrelated."""
        return Turn(*(None if part is None else part.square() for part in self)).mean(moment)

    def shape_of(self, num_elements: int) -> tuple[int, int]:
        """Return the shape of moments that have so many elements."""
        if self.right is not None:
            return num_elements // len(self.right), len(self.right)
        assert self.left is not None  # one side is projected
        return len(self.left), num_elements // len(self.left)
