"""What a run has added up for its log; a checkpoint keeps it, so that lines and totals go on as if nothing happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from safetensors.torch import load_file, save_file

from swift_core.train.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor
    from transformers import TrainingArguments

_OWN, _TOTAL = "since-log.", "whole-run."


class Tally(Ledger):
    """Sums since the last line of the log, and of the loss over the whole run, on one rank."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._before = Ledger()

    def close_line(self) -> None:
        """Begin another line of the log."""
        self._before.add_sums(self._loss())
        self.clear()

    def total(self, reduce: Callable[[Tensor], Tensor]) -> float:
        """Return the mean loss of the run so far over all ranks, NaN before the first step."""
        whole = Ledger()
        whole.add_sums(self._before.sums())
        whole.add_sums(self._loss())
        return whole.means(reduce, ["loss"])["loss"]

    def _loss(self) -> dict[str, Tensor]:
        return {name: pair for name, pair in self.sums().items() if name == "loss"}

    def save(self, folder: Path, args: TrainingArguments) -> None:
        """Write the sums of this rank into a checkpoint."""
        own = {_OWN + name: pair.cpu() for name, pair in self.sums().items()}
        total = {_TOTAL + name: pair.cpu() for name, pair in self._before.sums().items()}
        folder.mkdir(parents=True, exist_ok=True)  # a rank may come here before the first has made it
        save_file({**own, **total}, folder / f"sums_{args.process_index}.safetensors")

    def load(self, folder: Path, args: TrainingArguments) -> None:
        """Go on with the sums of a checkpoint; those of ranks that are there no more are taken over by others."""
        self.clear()
        self._before.clear()
        for path in sorted(folder.glob("sums_*.safetensors")):
            if int(path.stem.partition("_")[2]) % args.world_size != args.process_index:
                continue
            sums = {key: pair.to(args.device) for key, pair in load_file(path).items()}
            for prefix, ledger in ((_OWN, self), (_TOTAL, self._before)):
                ledger.add_sums({key[len(prefix) :]: pair for key, pair in sums.items() if key.startswith(prefix)})
