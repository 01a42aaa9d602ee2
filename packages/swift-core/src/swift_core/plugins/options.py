"""Options of a plugin: read from its source, checked against it, and checked again on the live object.

The constructor is the schema: its keyword-only parameters, or the fields of a dataclass, with annotations, defaults and
the text under them. A function plugin's keyword-only parameters are its options, but for those that core fills in.
"""

from __future__ import annotations

import ast
from typing import Any

from swift_core.contracts.plugin import OptionSpec, PluginSource, PluginSpec
from swift_core.plugins.annotations import Reader, Schema, Trail, unquoted
from swift_core.plugins.bounds import bounds_in
from swift_core.plugins.building import build, prepared
from swift_core.plugins.checking import OptionMistake, check_options
from swift_core.plugins.classes import (
    NO_LITERAL,
    ClassSource,
    Function,
    Parameter,
    has_unknown_decorator,
    is_dataclass,
    literal,
)
from swift_core.plugins.cpp_source import is_cpp, source_of_cpp
from swift_core.plugins.docs import argument_help, as_line, docstring, summary
from swift_core.plugins.errors import PluginError
from swift_core.plugins.kinds import KINDS
from swift_core.plugins.loading import describe
from swift_core.plugins.source import Found, Module, dotted_name, find, find_module, read_file, read_module

__all__ = ["OptionMistake", "build", "check_options", "prepared", "read_source"]


def read_source(spec: PluginSpec) -> PluginSource:
    """Return what the source of a plugin says; its code does not run.

    Raises:
        PluginError: When the module is not there, is not valid Python, or does not have the attribute.
    """
    if spec.dialect:
        from swift_core.ms_swift.sources import source_of

        return source_of(spec)
    if is_cpp(spec.path):
        return source_of_cpp(spec)
    try:
        module = _module(spec)
        return _compiled(spec) if module is None else _read(spec, module)
    except SyntaxError as error:
        line = f" in line {error.lineno}" if error.lineno else ""
        raise _unreadable(spec, f"its source is not valid Python{line}: {error.msg}") from error
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise _unreadable(spec, f"its source cannot be read: {type(error).__name__}: {error}") from error


def _unreadable(spec: PluginSpec, cause: str) -> PluginError:
    step = (
        "mend the file" if spec.origin == "file" else f"pip install --upgrade {spec.distribution}, or tell its author"
    )
    return PluginError("broken-plugin", f"{describe(spec)} cannot be used: {as_line(cause)}", step)


def _module(spec: PluginSpec) -> Module | None:
    if spec.path is not None:
        return read_file(spec.path)
    name = spec.target.partition(":")[0]
    if find_module(name) is None and spec.origin != "registered":
        raise _unreadable(spec, f"the module {name!r} is not there")
    return read_module(name)


def _compiled(spec: PluginSpec) -> PluginSource:
    name = spec.target.partition(":")[0]
    return PluginSource(summary="", options=(), file=str(find_module(name) or ""), line=0, readable=False)


def _read(spec: PluginSpec, module: Module) -> PluginSource:
    attribute = spec.name if spec.origin == "file" else spec.target.partition(":")[2]
    found = find(module, attribute) or (_registered(module, spec) if spec.origin in ("file", "registered") else None)
    if found is None and not module.is_open and attribute.split(".")[0] not in module.bindings:
        raise _unreadable(spec, f"{module.path} has no {attribute!r}")
    if found is None or isinstance(found.node, ast.expr):
        return PluginSource(summary="", options=(), file=str(module.path), line=0, readable=False)
    if isinstance(found.node, ast.ClassDef):
        return _read_class(found)
    return _read_function(found.module, found.node, KINDS[spec.kind].context, spec.kind in ("orm", "prm"))


def _registered(module: Module, spec: PluginSpec) -> Found | None:
    """Return the definition that a `@register_...("name")` of this name decorates."""
    for node in module.bindings.values():
        for decorator in getattr(node, "decorator_list", []):
            names = [
                argument.value for argument in getattr(decorator, "args", []) if isinstance(argument, ast.Constant)
            ]
            if spec.name in names and isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                return Found(module, node)
    return None


def _read_class(found: Found) -> PluginSource:
    source = ClassSource.read(found)
    fields = source.dataclass_fields()
    constructor = source.method("__init__")
    positional: tuple[str, ...] = ()
    readable = True
    if fields is not None:
        parameters = fields
    elif constructor is not None:
        owner, function = constructor
        class_helps = source.argument_helps()
        parameters = _keyword_only(owner.module, function, class_helps)
        positional = _positional(function, skip_self=True)
    else:
        parameters = []
        readable = source.complete and source.method("__new__") is None and not has_unknown_decorator(found)
    call = source.method("__call__")
    text = docstring(found.node) if not isinstance(found.node, ast.expr) else ""
    return PluginSource(
        summary=summary(text),
        options=_option_specs(parameters, bounds_in(source)),
        file=str(found.module.path),
        line=found.node.lineno,
        inputs=_inputs(call[1], skip_self=True) if call else (),
        declared=source.declared(),
        readable=readable,
        positional=positional,
    )


def _read_function(module: Module, node: Function, context: tuple[str, ...], takes_columns: bool) -> PluginSource:
    parameters = [parameter for parameter in _keyword_only(module, node, {}) if parameter.name not in context]
    if takes_columns:  # a reward's keyword without default is a column of the data
        parameters = [parameter for parameter in parameters if not parameter.required]
    return PluginSource(
        summary=summary(docstring(node)),
        options=_option_specs(parameters, {}),
        file=str(module.path),
        line=node.lineno,
        inputs=_inputs(node, skip_self=False),
        declared=_attributes(module, node.name),
        positional=_positional(node, skip_self=False),
    )


def _keyword_only(module: Module, node: Function, class_helps: dict[str, str]) -> list[Parameter]:
    helps = class_helps | argument_help(docstring(node))
    return [
        Parameter(
            name=argument.arg,
            annotation=argument.annotation,
            module=module,
            required=default is None,
            default=literal(module, default),
            help=helps.get(argument.arg, ""),
            line=argument.lineno,
        )
        for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    ]


def _positional(node: Function, *, skip_self: bool) -> tuple[str, ...]:
    return tuple(argument.arg for argument in _positional_arguments(node, skip_self))


def _positional_arguments(node: Function, skip_self: bool) -> list[ast.arg]:
    arguments = node.args.posonlyargs + node.args.args
    is_static = any(dotted_name(decorator) == "staticmethod" for decorator in node.decorator_list)
    return arguments[1:] if skip_self and not is_static else arguments


def _inputs(node: Function, *, skip_self: bool) -> tuple[str, ...]:
    """Return the annotations of the positional parameters, a dotted name by its last word."""
    written = [argument.annotation for argument in _positional_arguments(node, skip_self)]
    return tuple("" if note is None else _annotation_text(note, short=True) for note in written)


def _annotation_text(node: ast.expr, *, short: bool = False) -> str:
    node = unquoted(node)
    return dotted_name(node).rpartition(".")[2] or ast.unparse(node) if short else ast.unparse(node)


def _attributes(module: Module, function: str) -> dict[str, Any]:
    """Return literals set on a function at top level: `my_loss.needs_reference = True`."""
    values = {}
    for node in module.tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(node, ast.Assign) and isinstance(target, ast.Attribute) and dotted_name(target.value) == function:
            values[target.attr] = literal(module, node.value)
    return {name: value for name, value in values.items() if value is not NO_LITERAL}


def _option_specs(parameters: list[Parameter], bounds: dict[str, Schema]) -> tuple[OptionSpec, ...]:
    return tuple(
        OptionSpec(
            name=parameter.name,
            annotation=_annotation_text(parameter.annotation) if parameter.annotation else "",
            schema=_bounded(parameter_schema(parameter), bounds.get(parameter.name, {})),
            required=parameter.required,
            default=None if parameter.default is NO_LITERAL else parameter.default,
            help=parameter.help,
            line=parameter.line,
        )
        for parameter in parameters
        if not parameter.name.startswith("_")
    )


def _bounded(schema: Schema, bounds: Schema) -> Schema:
    """Return a schema with the bounds of its numbers; those of a list are of each of its numbers."""
    if schema.get("type") == "array" and "items" in bounds:
        items = schema.get("items", {})
        bound: Schema = bounds["items"]
        return schema | {
            "items": [_bounded(item, bound) for item in items] if isinstance(items, list) else _bounded(items, bound)
        }
    is_number = schema.get("type") in ("integer", "number") and "items" not in bounds
    return schema | bounds if is_number else schema


def parameter_schema(parameter: Parameter, trail: Trail = frozenset()) -> Schema:
    """Return the JSON schema of one parameter."""
    return Reader(parameter.module, _dataclass_schema, trail).schema(parameter.annotation)


def _dataclass_schema(found: Found, trail: Trail) -> Schema:
    """Return the schema of a dataclass that an option holds; empty for any other class."""
    source = ClassSource.read(found)
    fields = source.dataclass_fields() if is_dataclass(found) else None
    if fields is None or not isinstance(found.node, ast.ClassDef):
        return {}
    bounds = bounds_in(source)
    properties = {}
    for field in fields:
        schema = _bounded(parameter_schema(field, trail), bounds.get(field.name, {}))
        properties[field.name] = schema | ({"description": field.help} if field.help else {})
    required = [field.name for field in fields if field.required]
    schema = {"type": "object", "title": found.node.name, "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})
