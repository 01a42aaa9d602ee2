"""The base of callbacks in the fourth version of ms-swift, in a file of its own since it needs transformers."""

from __future__ import annotations

from typing import Any

import transformers


class TrainerCallback(transformers.TrainerCallback):
    """A callback of transformers that is built with arguments and trainer."""

    def __init__(self, args: Any = None, trainer: Any = None) -> None:
        """Keep the arguments and the trainer."""
        self.args, self.trainer = args, trainer
