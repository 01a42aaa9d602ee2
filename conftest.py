"""The blocks of README.md and docs/ are tests: Python runs, run files are resolved, commands and entry points exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

ROOT = Path(__file__).parent

BASE = "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat}\n"
"""What a fragment of a run file is completed with."""


def check_yaml(example: Example) -> None:
    """Resolve a whole run file; read a fragment of one with the sections it lacks."""
    from swift_core.config.load import load
    from swift_core.plugins.registry import installed
    from swift_core.resolve.plan import resolve

    text, folder = str(example.parsed), example.namespace["folder"]
    sections = set(re.findall(r"^(\w+):", text, flags=re.MULTILINE))
    whole = {"model", "data"} <= sections
    missing = [line for line in BASE.splitlines() if line.partition(":")[0] not in sections]
    path = folder / "run.yaml"
    path.write_text("\n".join([text, *missing]), encoding="utf-8")
    config = load(path)
    if whole:
        resolve(config, installed(), planning=True)


def check_toml(example: Example) -> None:
    """Look at the entry points of a pyproject.toml."""
    from swift_core.plugins.kinds import GROUPS

    groups = re.findall(r'^\[project\.entry-points\."(.+)"\]$', str(example.parsed), flags=re.MULTILINE)
    assert set(groups) <= set(GROUPS), groups


def check_console(example: Example) -> None:
    """Look whether the commands after a `$` exist, with their options; they are not run."""
    from swift_core.cli.main import swift

    for line in re.findall(r"^\$ (.+?)(?:\s+#.*)?$", str(example.parsed), flags=re.MULTILINE):
        program, *arguments = shlex.split(line)
        if program == "make":
            target = next(argument for argument in arguments if "=" not in argument)
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE), line
        if program == "swift":
            check_command(swift, arguments, line)


def check_command(group: object, arguments: list[str], line: str) -> None:
    """Follow sub-commands to the last, and let it parse its arguments."""
    import click

    while isinstance(group, click.Group):
        name, *arguments = arguments
        command = group.get_command(click.Context(group), name)
        assert command is not None, line
        group = command
    group.make_context("swift", arguments)


def make_folder(namespace: dict[str, object]) -> None:
    """Give the blocks of a document a folder of their own."""
    import tempfile

    namespace["folder"] = Path(tempfile.mkdtemp(prefix="swift-docs-"))


def remove_folder(namespace: dict[str, object]) -> None:
    """Remove the folder."""
    import shutil

    shutil.rmtree(str(namespace["folder"]))


pytest_collect_file = Sybil(
    parsers=[
        PythonCodeBlockParser(),
        CodeBlockParser("yaml", check_yaml),
        CodeBlockParser("toml", check_toml),
        CodeBlockParser("console", check_console),
    ],
    patterns=[
        "README.md",
        "CONTRIBUTING.md",
        "docs/*.md",
        "docs/losses/*.md",
        "docs/optimizers/*.md",
        "docs/rewards/*.md",
        "packages/*/README.md",
    ],
    excludes=["docs/_build/*"],
    setup=make_folder,
    teardown=remove_folder,
).pytest()
