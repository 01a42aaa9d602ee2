"""Run files with a mistake in them, thousands of them, made from the repository's own examples.

Each mutation says what it expects: a refusal whose place is the line that was changed, or only that there is no
traceback. What a value must be is taken from the annotations of the settings, not from the code that checks them.

    python -m tests.fuzz.run_files 10000
"""

from __future__ import annotations

import collections
import dataclasses
import io
import math
import random
import re
import sys
import tempfile
import time
import traceback
import types
import typing
from pathlib import Path
from typing import Any

import annotated_types
from ruamel.yaml import YAML

from swift_core.config.load import parse
from swift_core.contracts.settings import RunSettings
from swift_core.errors import SwiftError
from swift_core.plugins.registry import installed
from swift_core.resolve.machine import Machine
from swift_core.resolve.plan import resolve

ROOT = Path(__file__).resolve().parents[2]
PARTS = {"stage", "loss_type", "optimizer_type", "lr_scheduler_type", "tuner_strategy", "hub", "format"}
LISTED = {"metrics", "callbacks", "orms", "prms"}
OF_KIND = {
    bool: [3, "maybe", [1], {"a": 1}],
    int: ["x", 1.5, True, [1], {"a": 1}, "1e3x"],
    float: ["x", True, math.nan, [1], {"a": 1}],
    str: [[1], {"a": 1}],
    dict: ["x", 5, [1]],
    list: [5, {"a": 1}],
}
TAG = "!!python/object/apply:os.system ['true']\n"
NOISE = ["\t", "{", "[", "}", '"', "'", "&a", "*a", TAG, "%YAML 1.1\n", "\x00", "\ufeff", "- ", ": ", "<<: *a\n",
         "---\n", "...\n", "\u2028", "?", "|", "!!set {a}", "\r", "#", "\u00e9"]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A run file that was changed."""

    kind: str
    text: str
    path: tuple[str, ...] = ()
    """Where, when it must be refused there."""

    lines: tuple[int, int] = (0, 0)
    """Of its first line and its last, counted from one."""

    meant: str = ""
    """The name that a message must offer."""


def corpus() -> list[dict[str, Any]]:
    """Return the run files of examples, README and documentation that can be planned as they are."""
    texts = [path.read_text() for path in sorted((ROOT / "examples").rglob("*.yaml"))]
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        texts += re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    found = [YAML(typ="safe", pure=True).load(text) for text in texts if re.search("^model:", text, re.MULTILINE)]
    return [tree for tree in found if isinstance(tree, dict) and _judged(dumped(tree)) is None]


def dumped(tree: Any) -> str:
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(tree, stream)
    return stream.getvalue()


FOLDER = Path(tempfile.gettempdir()) / "swift-fuzz"


def _judged(text: str) -> SwiftError | None:
    """Return why a run file is refused, None when it can be planned; anything else is raised."""
    try:
        resolve(parse(text, FOLDER / "run.yaml"), installed(), machine=Machine(num_gpus=0))
    except SwiftError as error:
        return error
    return None


def sections() -> dict[str, dict[str, Any]]:
    """Return section -> key -> annotation of every setting."""
    found = {}
    for name, hint in typing.get_type_hints(RunSettings, include_extras=True).items():
        if dataclasses.is_dataclass(hint):
            found[name] = typing.get_type_hints(hint, include_extras=True)
            found[name] = {key: found[name][key] for key in (field.name for field in dataclasses.fields(hint))}
    return found


def bad_values(hint: Any) -> list[Any]:
    """Return values that an annotation does not allow."""
    bounds = [item for item in getattr(hint, "__metadata__", ()) if hasattr(item, "__dataclass_fields__")]
    bare = hint.__origin__ if hasattr(hint, "__metadata__") else hint
    origin = typing.get_origin(bare)
    if origin is typing.Literal:
        return ["nonsense", [1], {"a": 1}]
    if origin in (typing.Union, types.UnionType):
        return [{"a": [1]}]
    values = list(OF_KIND.get(origin or bare, []))
    for bound in bounds:
        low = getattr(bound, "gt", None) if getattr(bound, "gt", None) is not None else getattr(bound, "ge", None)
        high = getattr(bound, "lt", None) if getattr(bound, "lt", None) is not None else getattr(bound, "le", None)
        values += [low - 1] * 2 if low is not None else []
        values += [high + 1] * 2 if high is not None else []
        values += [""] if isinstance(bound, annotated_types.MinLen) else []
    return values


def lines_of(text: str, path: tuple[str, ...]) -> tuple[int, int]:
    """Return the first and the last line of a key with its value, counted from one."""
    node = YAML(typ="safe", pure=True).compose(text)
    first = 0
    for name in path:
        first, node = next((key.start_mark.line + 1, value) for key, value in node.value if key.value == name)
    return first, max(first, node.end_mark.line + bool(node.end_mark.column))


def put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    head, *rest = path
    inner = tree.get(head)
    changed = put(inner if isinstance(inner, dict) else {}, tuple(rest), value) if rest else value
    return {**tree, head: changed}


def wrong_value(tree: dict[str, Any], draw: random.Random) -> Mutant | None:
    section = draw.choice(list(SECTIONS))
    key = draw.choice(list(SECTIONS[section]))
    values = bad_values(SECTIONS[section][key])
    return _at(tree, (section, key), draw.choice(values), "a wrong value") if values else None


def unknown_part(tree: dict[str, Any], draw: random.Random) -> Mutant | None:
    section = draw.choice(["train", "model", "data", "reward"])
    keys = [key for key in SECTIONS[section] if key in PARTS | LISTED]
    key = draw.choice(keys)
    name = draw.choice(["nonsense", "acme:nonsense", "./nonsense.py:Loss", "dpo.py", "a:b:c", "../x", "~"])
    return _at(tree, (section, key), [name] if key in LISTED else name, "an unknown part")


def unknown_option(tree: dict[str, Any], draw: random.Random) -> Mutant | None:
    key = draw.choice(["loss_kwargs", "optimizer_kwargs", "lr_scheduler_kwargs", "tuner_kwargs"])
    options = tree.get("train", {}).get(key, {})
    if options and draw.random() < 0.5:
        name = draw.choice(list(options))
        value = draw.choice([{"a": {"b": 1}}, [[[]]], "\u00e9" * 9])
        if isinstance(options[name], (list, dict, str)):
            return None
        return _at(tree, ("train", key, name), value, "a wrong option")
    return _at(tree, ("train", key, "no_such_option"), 1, "an unknown option")


def typo(tree: dict[str, Any], draw: random.Random) -> Mutant | None:
    """Misspell a key that the file has, by one letter."""
    section = draw.choice([name for name in tree if name in SECTIONS and isinstance(tree[name], dict)])
    known = set(SECTIONS[section])
    written = [key for key in tree[section] if key in known and len(key) > 4]
    if not written:
        return None
    key = draw.choice(written)
    place = draw.randrange(len(key))
    changed = draw.choice([
        key[:place] + key[place + 1 :],
        key[:place] + draw.choice("abcdefghijklmnopqrstuvwxyz_") + key[place:],
        key[:place] + key[place : place + 2][::-1] + key[place + 2 :],
    ])  # fmt: skip
    if changed in known or changed == key:
        return None
    inner = {(changed if name == key else name): value for name, value in tree[section].items()}
    text = dumped({**tree, section: inner})
    return Mutant("a misspelt key", text, (section, changed), lines_of(text, (section, changed)), key)


def noise(tree: dict[str, Any], draw: random.Random) -> Mutant | None:
    """Damage the text itself."""
    text = dumped(tree)
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(len(text) + 1)
        end = min(len(text), place + draw.choice([0, 0, 1, 5, 40]))
        text = text[:place] + draw.choice([*NOISE, "", text[end : end + 20]]) + text[end:]
    return Mutant("damaged text", text)


def anything(tree: dict[str, Any], draw: random.Random) -> Mutant | None:
    """Put any value anywhere."""
    value: Any = draw.choice([None, -1, 0, 1e308, 10**30, "", "x" * 5000, [], {}, [{}], {"name": 1}, "./x.py:A", "#0"])
    if draw.random() < 0.3:
        for _ in range(draw.choice([3, 60, 900])):
            value = {"a": value} if draw.random() < 0.5 else [value]
    section = draw.choice(list(SECTIONS))
    path = (section, draw.choice(list(SECTIONS[section]))) if draw.random() < 0.8 else (section,)
    return Mutant("any value", dumped(put(tree, path, value)) if _depth(value) < 400 else str(put(tree, path, value)))


def _depth(value: Any) -> int:
    depth = 0
    while isinstance(value, (dict, list)) and value:
        value, depth = (next(iter(value.values())) if isinstance(value, dict) else value[0]), depth + 1
    return depth


def _at(tree: dict[str, Any], path: tuple[str, ...], value: Any, kind: str) -> Mutant | None:
    if path[0] not in tree and set(tree) - {*SECTIONS, "output_dir"}:
        return None  # the section may be there under another name
    text = dumped(put(tree, path, value))
    return Mutant(kind, text, path, lines_of(text, path))


SECTIONS = sections()
MUTATIONS = (wrong_value, wrong_value, unknown_part, unknown_option, typo, noise, noise, anything)


def mutants(count: int, seed: int = 0) -> typing.Iterator[Mutant]:
    """Yield `count` changed run files."""
    trees, made, number = corpus(), 0, 0
    while made < count:
        draw = random.Random(f"{seed} {number}")
        number += 1
        if (mutant := draw.choice(MUTATIONS)(draw.choice(trees), draw)) is not None:
            made += 1
            yield mutant


def verdict(mutant: Mutant) -> str:
    """Return `refused` or `planned`, or what is wrong with the answer to a changed run file."""
    try:
        error = _judged(mutant.text)
    except Exception:  # whatever it is, it is the finding
        return "TRACEBACK " + traceback.format_exc(limit=-3)
    if error is None:
        return "ACCEPTED" if mutant.path else "planned"
    if not mutant.path:
        return "refused"
    first, last = mutant.lines
    places = [each.place for each in error.problems if each.place is not None]
    if not any(first <= place.line <= last for place in places):
        return "NO PLACE " + str(error)
    if mutant.meant and mutant.meant not in str(error):
        return "NO NEAREST NAME " + str(error)
    return "refused"


def main() -> None:
    """Print how many changed run files were refused, by what was changed, and show the first of each wrong answer."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    start, figures = time.monotonic(), collections.Counter[tuple[str, str]]()
    for mutant in mutants(count):
        answer = verdict(mutant)
        word = answer.split(maxsplit=1)[0]
        figures[mutant.kind, word] += 1
        if word.isupper() and figures[mutant.kind, word] <= 3:
            print(f"{mutant.kind}: {answer}\n{'.'.join(mutant.path)} {mutant.meant}\n{mutant.text[:1500]}\n")
    for (kind, word), number in sorted(figures.items()):
        print(f"{kind:<20} {word:<10} {number:>6}")
    wrong = sum(number for (_, word), number in figures.items() if word.isupper())
    print(f"{count} run files, {wrong} wrong answers, {time.monotonic() - start:.0f} s")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
