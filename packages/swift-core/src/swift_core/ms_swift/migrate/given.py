"""Arguments as they were written: from a YAML or JSON file, or from a command line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.errors import Place, Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMMANDS = ("pt", "sft", "rlhf", "dpo", "kto", "grpo", "reward", "gkd", "orpo", "cpo", "ppo", "rm")
"""Words before the first argument that say what is trained: `swift sft`, `trl dpo`."""

_VARIABLES = ("nproc_per_node", "nnodes")
"""Environment variables before a command that say how many processes it starts; others belong to the machine."""

_PROGRAMS = ("swift", "trl", "llamafactory-cli", "train", "megatron", "python", "accelerate", "launch", "torchrun")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument."""

    name: str
    value: Any
    """Plain data, as YAML reads it."""

    place: Place | None = None
    """Where it stands in a file."""

    @property
    def shown(self) -> str:
        """The argument as a person would write it."""
        if isinstance(self.value, list):
            return f"--{self.name} {' '.join(map(str, self.value))}"
        value = json.dumps(self.value) if isinstance(self.value, dict | bool) or self.value is None else self.value
        return f"--{self.name} {value}"


def of_file(path: Path) -> list[Argument]:
    """Return the arguments in a YAML or JSON file, in its order; those that are null are left out.

    Raises:
        SwiftError: It cannot be read, or holds something else than arguments by name.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        text = path.read_text(encoding="utf-8")
        content = YAML().load(text)
    except OSError as error:
        raise _unreadable(f"{path} cannot be read: {error.strerror}.") from error
    except (YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None) if isinstance(error, MarkedYAMLError) else None
        place = Place(str(path), mark.line + 1, mark.column + 1) if mark else None
        raise _unreadable(f"{path} is neither YAML nor JSON.", place) from error
    if not isinstance(content, dict):
        raise _unreadable(f"{path} must hold arguments by name, as `learning_rate: 1e-4`.")
    lines = text.splitlines()
    return [
        Argument(str(name), value, _place(path, content, name, lines))
        for name, raw in content.items()
        if (value := _plain(raw)) is not None
    ]


def _place(path: Path, content: Any, name: Any, lines: Sequence[str]) -> Place:
    line, column = content.lc.key(name)
    return Place(str(path), line + 1, column + 1, lines[line])


def _plain(value: Any) -> Any:
    """Return what ruamel read as plain Python data."""
    if isinstance(value, dict):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return None if value is None else str(value)


def of_words(words: Sequence[str]) -> tuple[str, list[Argument]]:
    """Return the command (`sft`, `rlhf`, ... or empty) and the arguments of a command line.

    Raises:
        SwiftError: A word stands where an argument should begin.
    """
    command, rest = "", list(words)
    variables: dict[str, list[str]] = {}
    while rest and not rest[0].startswith("--"):
        word = Path(rest.pop(0)).stem
        variable, equals, value = word.partition("=")
        if equals and variable.isidentifier():
            variables[variable.lower()] = [value]
        elif word in COMMANDS:
            command = word
        elif word not in _PROGRAMS:
            message = f"{word!r} is no argument: one begins with `--`."
            raise SwiftError(Problem("usage", message, next_step="swift migrate -- --model ... --dataset ..."))
    given = {name: values for name, values in variables.items() if name in _VARIABLES}
    name = ""
    for word in rest:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            name = name.replace("-", "_")
            given[name] = [value] if equals else []
        else:
            given[name].append(word)
    return command, [Argument(name, _read(values)) for name, values in given.items()]


def _read(values: Sequence[str]) -> Any:
    """Return the values of one argument as YAML reads them; an argument without a value is true."""
    if not values:
        return True
    read = [_scalar(value) for value in values]
    return read[0] if len(read) == 1 else read


def _scalar(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if text.lower() in ("none", "null"):
        return None
    if text[:1] not in "{[" and not text[:1].isdigit() and text[:1] not in "+-." and text.lower() not in _TRUTH:
        return text  # a path or a name, whatever YAML would make of it
    if text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    try:
        return _plain(YAML(typ="safe").load(text))
    except (YAMLError, ValueError):
        return text


_TRUTH: Mapping[str, bool] = {"true": True, "false": False}


def _unreadable(message: str, place: Place | None = None) -> SwiftError:
    return SwiftError(
        Problem("unreadable-arguments", message, place, "give the YAML or args.json of the other program")
    )
