"""An optimizer with its own schedule, of the form (args, model, dataset) -> (optimizer, scheduler)."""

from __future__ import annotations

import torch
from torch.optim.lr_scheduler import LinearLR


def by_rows(args, model, dataset, *, rows_to_half: int = 1000):
    """Train with AdamW, and let the rate fall to a half over so many rows of data.

    Args:
        args: The section `train` of the run file.
        model: The model, with the tuner applied.
        dataset: The training rows.
        rows_to_half: Rows of training data after which the rate is a half, >= 1.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.learning_rate, weight_decay=args.weight_decay)
    rows = min(rows_to_half, len(dataset))
    steps = max(rows // (args.per_device_train_batch_size * args.gradient_accumulation_steps), 1)
    return optimizer, LinearLR(optimizer, start_factor=1.0, end_factor=0.5, total_iters=steps)
