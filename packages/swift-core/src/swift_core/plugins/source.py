"""Find the source of a module and what a name in it is, without importing anything.

`importlib.util.find_spec("a.b")` imports `a`; here the finders on `sys.meta_path` are asked folder by folder instead,
so that no code of a plugin runs.
"""

from __future__ import annotations

import ast
import sys
import warnings
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.machinery import ModuleSpec

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

NOT_FOLLOWED = frozenset(
    {"accelerate", "datasets", "numpy", "peft", "pydantic", "torch", "transformers", "trl", "typing"}
)
"""Packages whose source is not read: they define no plugin's options, and reading them takes a tenth of a second."""

_MAX_HOPS = 12
"""Re-exports that are followed before a name counts as unknown; a circle of imports ends here."""


class Module:
    """A parsed source file."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        """Keep what was parsed; `name` is the dotted name, empty for a lone file."""
        self.name = name
        self.path = path
        self.tree = tree

    @cached_property
    def bindings(self) -> dict[str, ast.stmt]:
        """Top-level names with the statement that binds them; the body of an `if` wins over its other branches."""
        return dict(_bindings(self.tree.body))

    @property
    def package(self) -> str:
        """Name that relative imports start from."""
        return self.name if self.path.stem == "__init__" else self.name.rpartition(".")[0]

    @property
    def is_open(self) -> bool:
        """Whether it may have names that cannot be read: a star import, `__getattr__`, `globals()`."""
        dynamic = {"globals", "exec", "setattr", "vars"}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                return True
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in dynamic:
                return True
        return "__getattr__" in self.bindings


class Found(NamedTuple):
    """What a name is, and the module it is defined in."""

    module: Module
    node: Definition | ast.expr


def _bindings(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from _bound_by(target, node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (((alias.asname or alias.name).split(".")[0], node) for alias in node.names)
        elif isinstance(node, ast.If | ast.For | ast.While):
            yield from _bindings(node.orelse + node.body)
        elif isinstance(node, ast.With):
            yield from _bindings(node.body)
        elif isinstance(node, ast.Try):
            handlers = [statement for handler in node.handlers for statement in handler.body]
            yield from _bindings(handlers + node.orelse + node.body)


def _bound_by(target: ast.expr, node: ast.Assign | ast.AnnAssign) -> Iterator[tuple[str, ast.stmt]]:
    """Yield what one target binds; a name in a tuple is bound to a statement that `find` makes nothing of."""
    if isinstance(target, ast.Name):
        yield target.id, node
    elif isinstance(target, ast.Tuple | ast.List):
        yield from ((name.id, ast.Expr(target)) for name in ast.walk(target) if isinstance(name, ast.Name))


def find_module(name: str) -> Path | None:
    """Return the file of module `name`: source, or a compiled module; None when there is none."""
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded:
        return Path(loaded)
    spec: ModuleSpec | None = None
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        parent = None if spec is None else list(spec.submodule_search_locations or ())
        spec = _ask_finders(".".join(parts[:length]), parent)
        if spec is None:
            return None
    return Path(spec.origin) if spec and spec.origin and spec.has_location else None


def _ask_finders(name: str, parent: list[str] | None) -> ModuleSpec | None:
    specs = (_ask(finder, name, parent) for finder in sys.meta_path)
    return next((spec for spec in specs if spec is not None), None)


def _ask(finder: object, name: str, parent: list[str] | None) -> ModuleSpec | None:
    find: Callable[[str, list[str] | None], ModuleSpec | None] | None = getattr(finder, "find_spec", None)
    try:
        return find(name, parent) if find else None
    except Exception:  # a finder that some wheel installed is broken: Python says so when it imports
        return None


def read_module(name: str) -> Module | None:
    """Return module `name` parsed, or None when it is not there or not Python source.

    Raises:
        SyntaxError: When it is not valid Python; ValueError, RecursionError and MemoryError come up for odder content.
    """
    path = find_module(name)
    return None if path is None or path.suffix != ".py" else read_file(path, name)


def read_file(path: Path, name: str = "") -> Module:
    """Return the file parsed; raises as `read_module`, and OSError."""
    return _parse(path, name, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _parse(path: Path, name: str, changed: int) -> Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in a plugin's string is its author's concern
        return Module(name, path, ast.parse(path.read_bytes(), filename=str(path)))


def find(module: Module, dotted: str, hops: int = _MAX_HOPS) -> Found | None:
    """Return what `dotted` means at top level of `module`, through imports and plain aliases; None if unknown."""
    head, _, rest = dotted.partition(".")
    node = module.bindings.get(head)
    if node is None or hops == 0:
        return None
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return _member(Found(module, node), rest)
    if isinstance(node, ast.ImportFrom):
        return _imported_from(module, node, head, rest, hops)
    if isinstance(node, ast.Import):
        return _imported(node, dotted, hops)
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and not rest:
        alias = dotted_name(node.value)
        return find(module, alias, hops - 1) or Found(module, node.value) if alias else Found(module, node.value)
    return None


def _member(found: Found, rest: str) -> Found | None:
    for name in rest.split(".") if rest else []:
        body = found.node.body if isinstance(found.node, ast.ClassDef) else []
        members = [n for n in body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == name]
        if not members:
            return None
        found = Found(found.module, members[-1])
    return found


def _imported_from(module: Module, node: ast.ImportFrom, head: str, rest: str, hops: int) -> Found | None:
    original = next(alias.name for alias in node.names if (alias.asname or alias.name).split(".")[0] == head)
    source = _absolute(module, node)
    within = _follow(source)
    dotted = f"{original}.{rest}" if rest else original
    found = find(within, dotted, hops - 1) if within else None
    if found is None and rest:
        submodule = _follow(f"{source}.{original}")
        return find(submodule, rest, hops - 1) if submodule else None
    return found


def _imported(node: ast.Import, dotted: str, hops: int) -> Found | None:
    """Follow `import a.b` or `import a.b as c` for a name such as `a.b.X` or `c.X`."""
    for alias in node.names:
        written = alias.asname or alias.name
        if dotted.startswith(f"{written}."):
            module = _follow(alias.name)
            return find(module, dotted[len(written) + 1 :], hops - 1) if module else None
    return None


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parents = module.package.split(".")
    kept = parents[: len(parents) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _follow(name: str) -> Module | None:
    """Return a module that another one imports, or None when it is not one of those worth reading, or broken."""
    if not name or name.split(".")[0] in NOT_FOLLOWED or name.split(".")[0] in sys.stdlib_module_names:
        return None
    try:
        return read_module(name)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def dotted_name(node: ast.expr) -> str:
    """Return `a.b.c` of a name or attribute, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        parent = dotted_name(node.value)
        return f"{parent}.{node.attr}" if parent else ""
    return ""
