"""Build a plugin from its options: check and convert them by the live signature, then call it."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_core.contracts.loss import LossTerm, building_terms
from swift_core.contracts.plugin import OptionSpec, PluginSource
from swift_core.plugins.annotations import (
    ARRAYS,
    OBJECTS,
    SCALARS,
    Schema,
    any_of,
    array_of,
    object_of,
    tuple_of,
)
from swift_core.plugins.checking import OptionMistake, check_options, check_value
from swift_core.plugins.errors import PluginError


class OptionError(PluginError):
    """Options that a live plugin refuses."""

    def __init__(self, name: str, mistakes: list[OptionMistake]) -> None:
        """Make an error of all mistakes in the options of the plugin called `name`."""
        self.mistakes = tuple(mistakes)
        errors = [
            PluginError(m.code, f"{name}: {m.message}. {m.suggestion}".strip(), "swift plugins info") for m in mistakes
        ]
        super(PluginError, self).__init__([problem for error in errors for problem in error.problems])


def build(target: object, options: Mapping[str, Any], *, called: str = "") -> object:
    """Return the object that a class makes of `options`, or a function with them bound.

    A module, or an object that is no class or function, is returned as it is when there are no options.

    Args:
        target: A class, a function, or an object that is the plugin itself.
        options: What its signature is given.
        called: What messages call it; its own name when left out.

    Raises:
        OptionError: When the signature does not take the options, or the constructor refuses one with a ValueError.
        PluginError: When the constructor fails otherwise; its exception is the cause.
    """
    name = called or _name(target)
    if not callable(target):
        if options:
            raise OptionError(
                name, [OptionMistake((key,), f"there is no option {key!r}", code="unknown-option") for key in options]
            )
        return target
    ready = prepared(target, options, called=name)
    if not inspect.isclass(target):
        return functools.partial(target, **ready) if ready else target
    try:
        with building_terms(_build_installed, outermost=True):
            return target(**ready)
    except PluginError:  # of a loss that it names
        raise
    except ValueError as error:
        raise OptionError(name, [_refused(str(error), options)]) from error
    except Exception as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise PluginError("broken-plugin", f"{name} cannot be built: {cause}", "tell its author") from error


def _build_installed(term: LossTerm) -> object:
    from swift_core.plugins.registry import installed

    registry = installed()
    return build(registry.load(registry.resolve("loss", term.name, Path())), term.kwargs)


def prepared(target: object, options: Mapping[str, Any], *, called: str = "") -> dict[str, Any]:
    """Return `options` as the constructor wants them: paths, tuples and nested dataclasses in place of plain data.

    For plugins that are built with live objects: `optimizer(params, **prepared(optimizer, options))`.

    Raises:
        OptionError: When the signature does not take them.
    """
    name = called or _name(target)
    signature, hints = _signature(target)
    mistakes = check_options(_live_source(signature, hints), options)
    if mistakes:
        raise OptionError(name, mistakes)
    ready = {}
    for key, value in options.items():
        ready[key] = _attempt(key, value, hints.get(key, Any), mistakes)
    if mistakes:
        raise OptionError(name, mistakes)
    return ready


def _attempt(key: str, value: Any, hint: Any, mistakes: list[OptionMistake]) -> Any:
    try:
        return _converted(value, hint)
    except ValueError as error:  # from the constructor of a nested dataclass
        mistakes.append(OptionMistake((key,), f"{key}: {error}"))
        return None


def _name(target: object) -> str:
    return getattr(target, "__qualname__", None) or getattr(target, "__name__", None) or type(target).__name__


def _refused(message: str, options: Mapping[str, Any]) -> OptionMistake:
    """Return the mistake in a constructor's ValueError; our messages begin with the option's name."""
    first = message.partition(" ")[0]
    return OptionMistake((first,) if first in options else (), message)


def _signature(target: object) -> tuple[inspect.Signature, dict[str, Any]]:
    try:
        signature = inspect.signature(target)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a compiled constructor that does not say: it checks by itself
        signature = inspect.Signature([inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)])
    return signature, _hints(target)


def _hints(target: object) -> dict[str, Any]:
    """Return the annotations of the constructor; one that names what only type checkers import counts as Any."""
    if dataclasses.is_dataclass(target):
        owners: list[Any] = [*reversed(getattr(target, "__mro__", [target]))]
    else:
        owners = [getattr(target, "__init__", target) if inspect.isclass(target) else target]
    hints: dict[str, Any] = {}
    for owner in owners:
        scope = getattr(sys.modules.get(getattr(owner, "__module__", "")), "__dict__", {})
        for name, annotation in _annotations(owner).items():
            hints[name] = _hint(name, annotation, scope)
    return hints


def _annotations(owner: Any) -> dict[str, Any]:
    """Return the annotations that `owner` itself has, evaluated or as strings."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(owner, format=annotationlib.Format.FORWARDREF)
    try:
        return inspect.get_annotations(owner)
    except TypeError:  # a compiled constructor has none
        return {}


def _hint(name: str, annotation: Any, scope: dict[str, Any]) -> Any:
    """Return the type of one annotation; Any when it names what only type checkers import."""
    probe = types.SimpleNamespace(__annotations__={name: annotation})
    try:
        return typing.get_type_hints(probe, globalns=scope, include_extras=True)[name]
    except Exception:  # evaluating an annotation runs what its author wrote
        return Any


def _live_source(signature: inspect.Signature, hints: Mapping[str, Any]) -> PluginSource:
    named = [p for p in signature.parameters.values() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    options = tuple(
        OptionSpec(
            name=parameter.name,
            annotation="",
            schema=_schema(hints.get(parameter.name, Any)),
            required=parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty,
        )
        for parameter in named
    )
    return PluginSource(summary="", options=options, file="", line=0, readable=not takes_any)


def _schema(hint: Any) -> Schema:
    """Return the JSON schema of a live type, as `annotations` does of a written one."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Annotated, typing.Final) or isinstance(hint, dataclasses.InitVar):
        return _schema(arguments[0] if arguments else getattr(hint, "type", Any))
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return any_of([_schema(argument) for argument in arguments])
    name = getattr(origin or hint, "__name__", "")
    if hint is None or hint is type(None):
        name = "None"
    if name in SCALARS:
        return dict(SCALARS[name])
    if name == "tuple" and arguments and arguments[-1] is not Ellipsis:
        return tuple_of([_schema(argument) for argument in arguments])
    if name in ARRAYS | {"tuple"}:
        return array_of(_schema(arguments[0])) if arguments else {"type": "array"}
    if name in OBJECTS:
        return object_of(_schema(arguments[1])) if len(arguments) == 2 else {"type": "object"}
    return _dataclass_schema(hint) if _is_dataclass_type(hint) else {}


def _is_dataclass_type(hint: Any) -> bool:
    return inspect.isclass(hint) and dataclasses.is_dataclass(hint)


def _dataclass_schema(hint: Any) -> Schema:
    hints = _hints(hint)
    fields = [field for field in dataclasses.fields(hint) if field.init]
    empty = dataclasses.MISSING
    return {
        "type": "object",
        "properties": {field.name: _schema(hints.get(field.name, Any)) for field in fields},
        "required": [field.name for field in fields if field.default is empty and field.default_factory is empty],
        "additionalProperties": False,
    }


def _converted(value: Any, hint: Any) -> Any:
    """Return a checked value as the type that `hint` names."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, dataclasses.InitVar):
        return _converted(value, hint.type)
    if origin in (typing.Annotated, typing.Final):
        return _converted(value, arguments[0])
    if origin in (typing.Union, types.UnionType):
        fitting = [argument for argument in arguments if not check_value(_schema(argument), value, ())]
        return _converted(value, fitting[0]) if fitting else value
    if isinstance(value, Mapping):
        return _converted_mapping(value, hint, arguments)
    if isinstance(value, list | tuple):
        return _converted_list(list(value), origin or hint, arguments)
    if hint is Path and isinstance(value, str):
        return Path(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return hint(value) if is_number and hint in (int, float) else value


def _converted_mapping(value: Mapping[str, Any], hint: Any, arguments: tuple[Any, ...]) -> Any:
    if _is_dataclass_type(hint):
        hints = _hints(hint)
        return hint(**{name: _converted(member, hints.get(name, Any)) for name, member in value.items()})
    inner = arguments[1] if len(arguments) == 2 else Any
    return {name: _converted(member, inner) for name, member in value.items()}


def _converted_list(value: list[Any], container: Any, arguments: tuple[Any, ...]) -> Any:
    if container is tuple and arguments and arguments[-1] is not Ellipsis:
        return tuple(_converted(member, hint) for member, hint in zip(value, arguments, strict=True))
    members = [_converted(member, arguments[0] if arguments else Any) for member in value]
    return container(members) if container in (tuple, set, frozenset) else members
