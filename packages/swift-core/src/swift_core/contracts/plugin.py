"""What is known of a plugin without importing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

Origin = Literal["wheel", "editable", "file", "registered"]


@dataclass(frozen=True, slots=True)
class PluginSpec:
    """A name, and where its code is."""

    kind: str
    """Name of the kind: `loss`, `optimizer`, ... (`swift_core.plugins.kinds`)."""

    name: str
    target: str
    """`module:attribute`, or `PATH:attribute` for a file."""

    distribution: str
    """Normalised distribution name; `(file)` or `(registered)` for plugins that no wheel brought."""

    version: str
    origin: Origin
    first_party: bool = False
    path: Path | None = None
    """The source file of a file plugin; None for the others."""

    dialect: str = ""
    """Whose contracts a file plugin is written for, when they are not ours: `ms_swift`."""

    @property
    def qualified(self) -> str:
        """`distribution:name`, which never means two plugins."""
        return f"{self.distribution}:{self.name}"

    @property
    def whose(self) -> str:
        """What it is and who brought it, for messages: `loss 'focal' of acme-losses`, `loss 'Focal' of focal.py`."""
        return f"{self.kind.replace('_', ' ')} {self.name!r} of {self.path.name if self.path else self.distribution}"

    @property
    def in_full(self) -> str:
        """The same with the version, where what it did while it ran is told: `loss 'focal' of acme-losses 1.4.0`."""
        return f"{self.whose} {self.version}" if self.path is None and self.version else self.whose

    @property
    def info_command(self) -> str:
        """The command that shows what this plugin is and takes; one written for ms-swift takes what its code reads."""
        if self.dialect and self.path is not None:
            return f"look into {self.path.name}; its one option is arguments: {{NAME: VALUE}}"
        return f"swift plugins info {self.kind}/{self.name if self.path is None else self.target}"


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """One keyword-only parameter of a plugin's constructor, read from its source."""

    name: str
    annotation: str
    """As written; empty when the author gave none (then any value is taken and checked on the object)."""

    schema: Mapping[str, Any]
    """JSON schema (draft 7) of the annotation; empty when it cannot be read statically."""

    required: bool
    default: Any = None
    """The default as plain data; meaningless when `required`, and None when it is not a literal."""

    help: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class PluginSource:
    """What the source of a plugin says, read with `ast`."""

    summary: str
    """First line of its docstring."""

    options: tuple[OptionSpec, ...]
    file: str
    line: int
    inputs: tuple[str, ...] = ()
    """Annotations of the positional parameters of `__call__` (or of the function): `("PairOutputs",)`."""

    declared: Mapping[str, Any] = field(default_factory=dict)
    """Literal `ClassVar`s, such as `needs_reference = True`."""

    positional: tuple[str, ...] = ()
    """Names of positional parameters of the constructor (or of the function): they are no options."""

    readable: bool = True
    """False when the target is not Python source (a compiled module): nothing could be checked before import."""
