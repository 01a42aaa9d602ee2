"""Images and sounds that a user gives to a trained model by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.assemble.vision.rows import SeesImages
from swift_core.contracts.images import MARK, ImageError, ImageRef
from swift_core.contracts.sounds import SOUND_MARK
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.data import TextEncoder
    from swift_core.contracts.media import Medium

_OF_KIND = {"image": (MARK, "images", "model-sees-no-images"), "audio": (SOUND_MARK, "audio", "model-hears-no-audio")}
"""Kind -> its mark, its word for several, and the code of a model that does not take it; the options are the kinds."""


def as_shown(
    encoder: TextEncoder, given: Sequence[Medium], prompts: Sequence[str]
) -> tuple[tuple[Medium, ...], list[str]]:
    """Return what is given, and the prompts with a mark for each; a prompt without marks has all of them before it.

    Raises:
        SwiftError: The model does not take it, one cannot be read, or marks and what is given do not agree.
    """
    if not given:
        return (), list(prompts)
    takes = getattr(encoder, "modalities", ()) if isinstance(encoder, SeesImages) else ()
    refused = [kind for kind in dict.fromkeys(each.kind for each in given) if kind not in takes]
    if refused:
        also = ", ".join(["text", *(_OF_KIND[kind][1] for kind in takes)])
        message = f"the model of this run reads {also}." if takes else "the model of this run reads text alone."
        raise SwiftError(Problem(_OF_KIND[kind][2], message, None, f"no --{kind}") for kind in refused)
    kind = given[0].kind
    mark = _OF_KIND[kind][0]
    problems = [problem for problem in map(_unreadable, given) if problem]
    marked = [prompt if mark in prompt else mark * len(given) + prompt for prompt in prompts]
    for prompt in marked:
        if (found := prompt.count(mark)) != len(given):
            message = f"a prompt has {mark} {found} times, and --{kind} is given {len(given)} times."
            problems.append(Problem(f"{kind}-marks", message, None, f"give --{kind} once for each {mark}"))
    if problems:
        raise SwiftError(problems)
    return tuple(given), marked


def _unreadable(given: Medium) -> Problem | None:
    try:
        given.open()
    except ImageError as error:
        what = "image" if isinstance(given, ImageRef) else "sound"
        return Problem(error.code, f"the {what} {given.name} {error}.", None, error.next_step)
    return None
