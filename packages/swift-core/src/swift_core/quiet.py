"""Loading without a bar for every file: the run's own progress is the only one that is shown."""

from __future__ import annotations


def quiet_loading() -> None:
    """Turn off transformers' and the hub's bars for loading and saving weights, for the rest of the process."""
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging

    logging.disable_progress_bar()
    disable_progress_bars()
