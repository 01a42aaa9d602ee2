"""What is known of a plugin in a file for ms-swift before the file runs: what it reads and which options it has."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from swift_core.contracts.plugin import OptionSpec, PluginSource, PluginSpec
from swift_core.ms_swift.read import Reading, Registration, read

if TYPE_CHECKING:
    from pathlib import Path

ARGUMENTS = OptionSpec(
    name="arguments",
    annotation="dict[str, Any]",
    schema={"type": "object"},
    required=False,
    default={},
    help="Attributes of the `args` that ms-swift gives the plugin, beside the settings of the run.",
)

_INPUTS: dict[str, tuple[str, ...]] = {"loss": ("TokenOutputs", "Tensor"), "optimizer": ("", "", "")}
"""What a kind is called with: losses of ms-swift read logits of tokens, its optimizers (args, model, dataset)."""


def source_of(spec: PluginSpec) -> PluginSource:
    """Return what the source says of a plugin that `read` has found."""
    path: Path = spec.path  # type: ignore[assignment]  # a file plugin has one
    reading = read(path, str(path))
    registration = reading.registrations[spec.kind, spec.name]
    node = reading.definition(registration.value)
    text = ast.get_docstring(node) if node else None
    return PluginSource(
        summary=" ".join((text or "").split("\n\n")[0].split()),
        options=() if spec.kind == "optimizer" else (ARGUMENTS,),
        file=str(path),
        line=node.lineno if node else registration.line,
        inputs=_INPUTS.get(spec.kind, ()),
        declared=_declared(reading, registration),
        readable=spec.kind != "optimizer",  # its option `arguments` goes past the checks of optimizer options
    )


def _declared(reading: Reading, registration: Registration) -> dict[str, Any]:
    if registration.kind == "metric":
        return {"eats": "predictions"}
    if registration.kind == "loss_scale" and asks_for_type(reading, registration.value):
        return {"base": True}
    if registration.kind == "tuner":
        return {"artifact": "adapter", "trains_adapter": False}
    return {}


def asks_for_type(reading: Reading, value: ast.AST, hops: int = 8) -> bool:
    """Say whether a loss scale looks at what a text is, and so decides itself what is trained.

    That is the form of the third version; one of the fourth sees answers only.
    """
    node = reading.definition(value)
    if not isinstance(node, ast.ClassDef) or not hops:
        return _imports_third_version(reading)
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "get_loss_scale":
            names = [argument.arg for argument in member.args.posonlyargs + member.args.args]
            return "context_type" in names or member.args.vararg is not None
    return any(asks_for_type(reading, base, hops - 1) for base in node.bases)


def _imports_third_version(reading: Reading) -> bool:
    modules = [node.module or "" for node in ast.walk(reading.tree) if isinstance(node, ast.ImportFrom)]
    return any(module.startswith(("swift.plugin", "swift.llm")) for module in modules)
