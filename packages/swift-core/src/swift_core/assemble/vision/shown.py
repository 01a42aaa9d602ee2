"""Images that a user shows to a trained model by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.assemble.vision.rows import SeesImages
from swift_core.contracts.images import MARK, ImageError, ImageRef
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from swift_core.contracts.data import TextEncoder


def as_shown(
    encoder: TextEncoder, images: Sequence[Path], prompts: Sequence[str]
) -> tuple[tuple[ImageRef, ...], list[str]]:
    """Return the images, and the prompts with a mark for each; a prompt without marks has all of them before it.

    Raises:
        SwiftError: The model sees no images, one cannot be read, or marks and images do not agree.
    """
    if not images:
        return (), list(prompts)
    if not isinstance(encoder, SeesImages):
        raise SwiftError(Problem("model-sees-no-images", "the model of this run reads text alone.", None, "no --image"))
    shown = tuple(ImageRef(path=str(path.absolute())) for path in images)
    problems = [problem for problem in map(_unreadable, shown) if problem]
    marked = [prompt if MARK in prompt else MARK * len(shown) + prompt for prompt in prompts]
    for prompt in marked:
        if (found := prompt.count(MARK)) != len(shown):
            message = f"a prompt has {MARK} {found} times, and {len(shown)} images are shown."
            problems.append(Problem("image-marks", message, None, f"give --image once for each {MARK}"))
    if problems:
        raise SwiftError(problems)
    return shown, marked


def _unreadable(image: ImageRef) -> Problem | None:
    try:
        image.open()
    except ImageError as error:
        return Problem(error.code, f"the image {image.name} {error}.", None, error.next_step)
    return None
