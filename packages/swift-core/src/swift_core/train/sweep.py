"""Steps beside the run's own: with an optimizer of their own, on rows of the training data in a fixed order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swift_core.train.trainer import SwiftTrainer


class Sweep:
    """Takes steps with a learning rate each; what they change is for the caller to undo."""

    def __init__(self, trainer: SwiftTrainer) -> None:
        """Take the trainer of a run that has not begun."""
        self._trainer = trainer
        self._optimizer = trainer.parts.make_optimizer(trainer.module)
        self._scales = [group["lr"] for group in self._optimizer.param_groups]
        peak = max(self._scales)
        self._scales = [scale / peak for scale in self._scales]
        self._batches = self._endless()

    def __enter__(self) -> Sweep:
        """Remember what the trainer logs."""
        self._logged, self._items = self._trainer.logged_sums(), self._trainer._step_items
        return self

    def __exit__(self, *_: object) -> None:
        """Forget the losses of the sweep."""
        self._trainer._since_log.restore(self._logged)
        self._trainer._step.clear()
        self._trainer._step_items = self._items

    def _endless(self) -> Iterator[Any]:
        """Yield micro-batches, shuffled by the run's seed and rank; the run's own loader is not touched."""
        args = self._trainer.args
        generator = torch.Generator().manual_seed(args.seed + args.process_index)
        loader: Any = DataLoader(
            self._trainer.parts.train_dataset,  # type: ignore[arg-type]  # a sequence is all that it needs
            batch_size=args.per_device_train_batch_size,
            shuffle=True,
            generator=generator,
            collate_fn=self._trainer.parts.collator,
        )
        while True:
            yield from loader

    def step(self, lr: float) -> float:
        """Take a step with learning rate `lr`; return its mean loss over all ranks before the step."""
        trainer, args = self._trainer, self._trainer.args
        model = trainer.model_wrapped
        model.train()
        batches, _ = trainer.get_batch_samples(self._batches, args.gradient_accumulation_steps, args.device)
        for batch in batches:
            inputs = trainer._prepare_inputs(batch)
            with trainer.compute_loss_context_manager():
                loss = trainer.compute_loss(model, inputs)
            loss.backward()
        mean, _ = trainer._step.loss(trainer._reduce)
        trainer._step.clear()
        trained = [value for value in trainer.module.parameters() if value.requires_grad]
        if args.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(trained, args.max_grad_norm)
        for group, scale in zip(self._optimizer.param_groups, self._scales, strict=True):
            group["lr"] = lr * scale
        self._optimizer.step()
        self._optimizer.zero_grad()
        return mean
