"""The whole model of a run, in transformers' layout."""

from __future__ import annotations

from pathlib import Path


class Merged:
    """A model folder that every tool reads: weights, configuration, tokenizer.

    An adapter is added to its base model in float32 and stored in the base's type. A model that was trained whole is
    copied.
    """

    def export(self, run: Path, target: Path, /) -> Path:
        """Write the model of `run` into the folder `target`; raise ValueError when it cannot be merged."""
        from swift_core.assemble.trained import write_whole

        write_whole(run, target)
        return target
