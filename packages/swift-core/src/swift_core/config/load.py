"""From a run file and overrides to a `RunConfig`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.config.aliases import rename_aliases, take_shorthands
from swift_core.config.document import Composer, Node, printable
from swift_core.config.files import read_text
from swift_core.config.mend import mend
from swift_core.config.overrides import merge, parse_overrides
from swift_core.config.rules import broken_rules
from swift_core.config.schema import normalise, validate
from swift_core.contracts.handover import RunConfig, ValueOrigin
from swift_core.errors import Place, Problem, SwiftError, in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.settings import RunSettings


class BadRunFileError(SwiftError):
    """A run file that cannot be taken as it is."""

    def __init__(self, problems: list[Problem], mended: RunConfig | None) -> None:
        super().__init__(problems)
        self.mended = mended
        """What was probably meant, so that the names in it can be looked up too; None where nobody can say."""


def load(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read the run file at `path` and the overrides of the command line.

    Raises:
        BadRunFileError: with every mistake that was found, each with its file, line and column.
    """
    path = Path(path)
    return parse(read_text(path), path, overrides)


def parse(text: str, path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read `text` as the run file at `path`; the file itself is not touched. Raises as `load` does."""
    root, problems = _compose(text, path)
    trees, wrong_overrides = parse_overrides(overrides)
    problems += wrong_overrides
    rename_aliases(root, problems)
    normalise(root)
    for tree in trees:
        rename_aliases(tree, problems)
        normalise(tree)
        merge(root, tree, problems)
    normalise(root)
    shorthands = take_shorthands(root)
    settings, mistakes = validate(root, str(path))
    told = {problem.place for problem in problems}
    found = [mistake.problem for mistake in mistakes]
    problems += [each for each in (*found, *broken_rules(root, shorthands)) if each.place not in told]
    if settings is not None and not problems:
        return _config(path, settings, root, shorthands)
    if settings is None:
        settings, more = mend(root, shorthands, mistakes, str(path))
        problems += more
    mended = _config(path, settings, root, shorthands) if settings is not None else None
    raise BadRunFileError(in_order(map(_on_one_line, problems), str(path)), mended)


def _compose(text: str, path: Path) -> tuple[Node, list[Problem]]:
    if text.lstrip().startswith("%"):
        place = Place(
            str(path), text[: len(text) - len(text.lstrip())].count("\n") + 1, 1, text.lstrip().splitlines()[0]
        )
        message = "a run file is YAML 1.2 without directives, and this line is one"
        raise SwiftError(Problem("yaml-syntax", message, place, "remove the line"))
    composer = Composer(text, str(path))
    root = composer.compose()
    if root is None or (root.value is None and not composer.problems):
        message = f"{path} is empty"
        raise SwiftError(
            Problem("empty-run-file", message, None, "write at least `model:` and `data:`; see swift schema")
        )
    if not isinstance(root.value, dict):
        kind = "a list" if isinstance(root.value, list) else "text"
        message = f"a run file is a mapping of sections, and this is {kind}"
        raise SwiftError(
            [*composer.problems, Problem("not-a-mapping", message, root.place, "write `model:` and `data:`")]
        )
    return root, composer.problems


def _on_one_line(problem: Problem) -> Problem:
    """Return the problem without line breaks and control characters that a key of the file brought into it."""
    texts: dict[str, Any] = {
        name: " ".join(map(printable, getattr(problem, name).splitlines())) for name in ("message", "next_step")
    }
    return replace(problem, **texts)


def _config(path: Path, settings: RunSettings, root: Node, shorthands: dict[str, Node]) -> RunConfig:
    written = dict(root.walk()) | shorthands
    return RunConfig(
        path=path,
        settings=settings,
        origins={key: ValueOrigin(node.source, node.place, node.note) for key, node in written.items()},
        key_places={key: node.key for key, node in written.items()},
        shorthands={key: node.plain() for key, node in shorthands.items()},
    )
