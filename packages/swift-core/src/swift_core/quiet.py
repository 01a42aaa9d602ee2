"""Loading without a bar for every file: the run's own progress is the only one that is shown."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def quiet_loading() -> None:
    """Turn off transformers' and the hub's bars for loading and saving weights, for the rest of the process."""
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging

    logging.disable_progress_bar()
    disable_progress_bars()


@contextmanager
def no_load_report() -> Iterator[None]:
    """Leave out transformers' table of missing and unexpected weights inside the block; errors are still told."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
