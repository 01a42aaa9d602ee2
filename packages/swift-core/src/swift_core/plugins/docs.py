"""Help texts in docstrings: the first line, and the `Args:` section of Google style."""

from __future__ import annotations

import ast
import inspect
import re

_ARGUMENT = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")


def docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Return the docstring without its indentation, or an empty string."""
    return ast.get_docstring(node) or ""


def summary(text: str) -> str:
    """Return the first line of a docstring."""
    return text.strip().partition("\n")[0].strip()


def as_line(text: str) -> str:
    """Return a text of several lines as one."""
    return " ".join(text.split())


def argument_help(text: str) -> dict[str, str]:
    """Return what the `Args:` section of a docstring says, by parameter."""
    section = re.search(r"^(?:Args|Arguments):[ \t]*\n((?:[ \t]+.*\n?|[ \t]*\n)*)", text + "\n", re.MULTILINE)
    helps: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc("\n" + section[1]).splitlines() if section else []:
        match = None if line[:1].isspace() else _ARGUMENT.match(line)
        if match:
            name = match[1]
            helps[name] = match[2].strip()
        elif name and line.strip():
            helps[name] = f"{helps[name]} {line.strip()}".strip()
    return helps


def text_under(body: list[ast.stmt], index: int) -> str:
    """Return the string that stands as a statement right under `body[index]`, as one line; empty when there is none."""
    below = body[index + 1] if index + 1 < len(body) else None
    if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
        return as_line(below.value.value)
    return ""
