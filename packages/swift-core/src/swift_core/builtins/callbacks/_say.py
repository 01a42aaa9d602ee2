"""One line to the user, on the error stream of the first process."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def say(state: Any, text: str) -> None:
    """Print `text` as it is; a progress bar that is on the screen stays below it."""
    if state.is_world_process_zero:
        Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
