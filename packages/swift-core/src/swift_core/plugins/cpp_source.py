"""What a C++ file binds with pybind11, read from its text: names, their parameters and which of them are options.

    m.def("lion", &lion, py::arg("params"), py::kw_only(), py::arg("lr") = 1e-4);
    py::class_<Focal>(m, "Focal").def(py::init<double>(), py::kw_only(), py::arg("gamma") = 2.0);

As in Python, what stands after `py::kw_only()` are options. Nothing is compiled to read this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contracts.plugin import OptionSpec, PluginSource, PluginSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES = (".cpp", ".cc", ".cxx")

_COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/|("(?:\\.|[^"\\])*")', re.DOTALL)
_FUNCTION = re.compile(r'\b\w+\s*\.\s*def\s*\(\s*"(\w+)"')
_CLASS = re.compile(r'\bclass_\s*<[^;{}]*?>\s*(?:\w+\s*)?\(\s*\w+\s*,\s*"(\w+)"')
_METHOD = re.compile(r"\.\s*def\s*\(")
_ARGUMENT = re.compile(r'\bkw_only\s*\(\s*\)|(?:\barg\s*\(\s*"(\w+)"\s*\)|"(\w+)"_a)(?:\s*=\s*)?')
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?f?\Z")
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
_ATTRIBUTE = re.compile(r'\.attr\(\s*"(\w+)"\s*\)\s*\.\s*attr\(\s*"(\w+)"\s*\)\s*=\s*([^;]+);')

_NO_DEFAULT = object()


def is_cpp(path: Path | None) -> bool:
    """Say whether a plugin file is C++."""
    return path is not None and path.suffix in SUFFIXES


@dataclass(frozen=True, slots=True)
class Argument:
    """One parameter that a binding names."""

    name: str
    is_option: bool
    default: Any
    """Plain data, None for what is no literal, or nothing for a parameter without default."""

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is _NO_DEFAULT


@dataclass(frozen=True, slots=True)
class Binding:
    """A function or class that a C++ file binds."""

    name: str
    is_class: bool
    line: int
    arguments: tuple[Argument, ...]
    """Of the function, or of the constructor."""

    called_with: tuple[Argument, ...]
    """Of the function, or of `__call__`."""

    def signature(self) -> Signature:
        """Return how it is called, which compiled code does not say in Python's terms."""
        return _signature(self.called_with)

    def constructor(self) -> Signature:
        """Return how a class is built."""
        return _signature(self.arguments)


def _signature(arguments: tuple[Argument, ...]) -> Signature:
    return Signature(
        [
            Parameter(
                argument.name,
                Parameter.KEYWORD_ONLY if argument.is_option else Parameter.POSITIONAL_OR_KEYWORD,
                default=Parameter.empty if argument.required else argument.default,
            )
            for argument in arguments
        ]
    )


def bindings_in(text: str) -> dict[str, Binding]:
    """Return what the text of a C++ file binds, by name."""
    code = _COMMENT.sub(lambda match: match[1] or re.sub(r"[^\n]", " ", match[0]), text)
    found = {}
    for match in _FUNCTION.finditer(code):
        arguments = tuple(_arguments(_inside(code, code.index("(", match.start()))))
        found[match[1]] = Binding(match[1], False, _line(code, match), arguments, arguments)
    for match in _CLASS.finditer(code):
        methods = [_inside(code, match.end() + m.end() - 1) for m in _METHOD.finditer(_statement(code, match.end()))]
        made = next((method for method in methods if re.match(r"\s*(\w+::)*init\b", method)), "")
        called = next((method for method in methods if re.match(r'\s*"__call__"', method)), "")
        binding = Binding(match[1], True, _line(code, match), tuple(_arguments(made)), tuple(_arguments(called)))
        found[match[1]] = binding
    return found


def source_of_cpp(spec: PluginSpec) -> PluginSource:
    """Return what a C++ file says of one of its bindings; of one that is not written out, nothing."""
    path = spec.path or Path()
    text = path.read_text(encoding="utf-8", errors="replace")
    binding = bindings_in(text).get(spec.name)
    if binding is None:
        return PluginSource(summary="", options=(), file=str(path), line=0, readable=False)
    options = [argument for argument in binding.arguments if argument.is_option]
    return PluginSource(
        summary="",
        options=tuple(_option(argument, binding.line) for argument in options),
        file=str(path),
        line=binding.line,
        inputs=tuple("" for argument in binding.called_with if not argument.is_option),
        declared=_declared(text, spec.name),
        positional=tuple(argument.name for argument in binding.arguments if not argument.is_option),
    )


def sources_of(path: Path) -> list[Path]:
    """Return a C++ file and the files beside it that it includes, at any depth."""
    found, waiting = [], [path.resolve()]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.append(file)
        text = file.read_text(encoding="utf-8", errors="replace")
        waiting += [near for name in _INCLUDE.findall(text) if (near := (file.parent / name).resolve()).is_file()]
    return sorted(found)


def _line(code: str, match: re.Match[str]) -> int:
    return code.count("\n", 0, match.start()) + 1


def _inside(code: str, opening: int) -> str:
    """Return what stands between the bracket at `opening` and the one that closes it."""
    depth = 0
    for position in range(opening, len(code)):
        depth += {"(": 1, ")": -1}.get(code[position], 0)
        if depth == 0:
            return code[opening + 1 : position]
    return code[opening + 1 :]


def _statement(code: str, start: int) -> str:
    """Return the rest of the statement at `start`, up to a semicolon outside of brackets."""
    depth = 0
    for position in range(start, len(code)):
        depth += {"(": 1, ")": -1, "{": 1, "}": -1}.get(code[position], 0)
        if code[position] == ";" and depth <= 0:
            return code[start:position]
    return code[start:]


def _arguments(text: str) -> Iterator[Argument]:
    is_option = False
    matches = list(_ARGUMENT.finditer(text))
    for index, match in enumerate(matches):
        name = match[1] or match[2]
        if name is None:
            is_option = True
            continue
        end = matches[index + 1].start() if index + 1 < len(matches) else len(text)
        has_default = match[0].rstrip().endswith("=")
        yield Argument(name, is_option, _literal(text[match.end() : end]) if has_default else _NO_DEFAULT)


def _literal(text: str) -> Any:
    """Return the plain data that a C++ expression is; None for any other."""
    written = re.sub(r"(,\s*(\w+::)*)?\s*\Z", "", text).strip().rstrip(",").strip()
    if written in ("true", "false"):
        return written == "true"
    if _NUMBER.match(written):
        number = written.rstrip("f")
        return int(number) if number.lstrip("+-").isdecimal() else float(number)
    text_literal = re.fullmatch(r'"((?:\\.|[^"\\])*)"', written)
    return text_literal[1] if text_literal else None


def _option(argument: Argument, line: int) -> OptionSpec:
    default = None if argument.required else argument.default
    kinds = {bool: ("bool", "boolean"), int: ("float", "number"), float: ("float", "number"), str: ("str", "string")}
    annotation, kind = kinds.get(type(default), ("", ""))
    schema = {"type": kind} if kind else {}
    return OptionSpec(argument.name, annotation, schema, argument.required, default, line=line)


def _declared(text: str, name: str) -> dict[str, Any]:
    """Return what is set on a binding: `m.attr("Focal").attr("needs_reference") = true;`."""
    return {key: _literal(value) for owner, key, value in _ATTRIBUTE.findall(text) if owner == name}
