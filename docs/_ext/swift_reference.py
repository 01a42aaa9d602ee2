"""Pages that are made from the code they describe: the run file, and the plugins of this project.

    {run-file}            every key of a run file, from the dataclasses of `swift_core.contracts.settings`
    {kinds}               every kind of plugin, from `swift_core.plugins.kinds`
    {plugins} KIND        the installed plugins of a kind with their options, read from source
    {plugin} KIND NAME    one of them

Each directive writes Markdown and lets MyST read it. Docstrings, which are Markdown too, are rewritten for autodoc.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import typing
from collections.abc import Iterator

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import swift_core.contracts.settings as settings
from swift_core.contracts.plugin import OptionSpec, PluginSpec
from swift_core.plugins.kinds import KINDS
from swift_core.plugins.options import read_source
from swift_core.plugins.registry import installed
from swift_core.plugins.source import read_module


class Written(SphinxDirective):
    """A directive that writes Markdown."""

    def markdown(self) -> Iterator[str]:
        """Write the lines."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Return the nodes of what was written."""
        lines = [line for text in self.markdown() for line in text.splitlines() or [""]]
        holder = nodes.Element()
        holder.document = self.state.document
        self.state.nested_parse(StringList(lines, source=self.name), self.content_offset, holder, match_titles=True)
        return holder.children


class RunFile(Written):
    """Every section and key of a run file."""

    def markdown(self) -> Iterator[str]:
        """Write a heading for each section, and its keys as a list."""
        hints = typing.get_type_hints(settings.RunSettings)
        for field in dataclasses.fields(settings.RunSettings):
            if dataclasses.is_dataclass(hints[field.name]):
                yield from self.section(field.name, hints[field.name].__name__)
                for name, hint in typing.get_type_hints(hints[field.name]).items():
                    if dataclasses.is_dataclass(hint):
                        yield from self.section(f"{field.name}.{name}", hint.__name__)
        yield from self.parts()

    def section(self, name: str, class_name: str) -> Iterator[str]:
        """Write one section."""
        source = read_settings(class_name)
        yield from (f"## `{name}`", "", source.summary, "")
        for option in source.options:
            yield from definition(option)

    def parts(self) -> Iterator[str]:
        """Write what the items of plugin lists have, and the keys outside sections."""
        yield from ("## Items of `callbacks`, `metrics` and `orms`", "", read_settings("PartRef").summary, "")
        for option in (*read_settings("PartRef").options, *read_settings("RewardRef").options):
            yield from definition(option)
        yield from ("## Outside sections", "")
        for option in read_settings("RunSettings").options:
            if option.name == "output_dir":
                yield from definition(option)


class Kinds(Written):
    """Every kind of plugin."""

    def markdown(self) -> Iterator[str]:
        """Write a table."""
        yield "| kind | entry-point group | chosen by | contract | what it is |"
        yield "|---|---|---|---|---|"
        for kind in KINDS.values():
            keys = ", ".join(f"`{key}`" for key in kind.key.split(", "))
            yield f"| {kind.words} | `{kind.group}` | {keys} | `{kind.contract}` | {kind.meaning} |"
        yield ""


class Plugins(Written):
    """The plugins of one kind."""

    required_arguments = 1

    def markdown(self) -> Iterator[str]:
        """Write a heading, the text of its module and the options of each first-party plugin."""
        for spec in installed().specs(self.arguments[0]):
            if spec.first_party:
                yield from self.plugin(spec)

    def plugin(self, spec: PluginSpec) -> Iterator[str]:
        """Write one plugin."""
        yield from (f"## `{spec.name}`", "", f"From {spec.distribution}. {read_source(spec).summary}", "")
        yield from (module_text(spec), "")
        for option in read_source(spec).options:
            yield from definition(option)


class OnePlugin(Written):
    """One plugin: the text of its module, and its options."""

    required_arguments = 2

    def markdown(self) -> Iterator[str]:
        """Write both, under the heading of the page."""
        kind, name = self.arguments
        found = [spec for spec in installed().specs(kind) if spec.first_party and spec.name == name]
        if not found:
            raise self.error(f"no wheel of ours that is installed here has a {kind} named {name!r}")
        spec, source = found[0], read_source(found[0])
        yield from (module_text(spec), "", f"**Options.** {source.summary}", "")
        for option in source.options:
            yield from definition(option)


def module_text(spec: PluginSpec) -> str:
    """Return the text at the top of the module that holds a plugin."""
    module = read_module(spec.target.partition(":")[0])
    return (ast.get_docstring(module.tree) or "") if module else ""


def read_settings(class_name: str) -> typing.Any:
    """Return what the source of a settings class says."""
    target = f"{settings.__name__}:{class_name}"
    return read_source(PluginSpec("settings", class_name, target, "swift-core", "", "wheel"))


def definition(option: OptionSpec) -> Iterator[str]:
    """Write one key or option as an entry of a definition list."""
    default = "required" if option.required else f"default `{shown(option.default)}`"
    annotation = f"`{option.annotation}`, " if option.annotation else ""
    yield from (f"`{option.name}`", f": {annotation}{default}", "", f"  {option.help}" if option.help else "", "")


def shown(value: object) -> str:
    """Return a default as a run file writes it."""
    words = {None: "null", True: "true", False: "false", "": '""'}
    return words[value] if isinstance(value, bool | str | type(None)) and value in words else str(value)


def as_rst(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Rewrite a docstring in place: `code` gets two backticks, and an indented block after a blank line is literal."""
    for number in reversed(range(2, len(lines))):
        opens = lines[number].startswith("    ") and not lines[number - 1] and not lines[number - 2].startswith(" ")
        if opens and not lines[number - 2].endswith("::"):
            lines.insert(number - 1, "")
            lines.insert(number, "::")
    lines[:] = [line if line.startswith("    ") else re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives."""
    for name, directive in {"run-file": RunFile, "kinds": Kinds, "plugins": Plugins, "plugin": OnePlugin}.items():
        app.add_directive(name, directive)
    app.connect("autodoc-process-docstring", as_rst, priority=400)  # before napoleon, which reads colons
    return {"parallel_read_safe": True, "parallel_write_safe": True}
