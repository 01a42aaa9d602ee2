"""A run file while it is put together from arguments, and what of them could not be carried over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swift_core.ms_swift.migrate.given import Argument

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class NotCarried:
    """An argument that is not in the run file."""

    argument: Argument
    reason: str
    loses: bool
    """Whether the run differs without it; else nothing depends on it here."""

    def __str__(self) -> str:
        where = f"{self.argument.place.file}:{self.argument.place.line}: " if self.argument.place else ""
        return f"{where}{self.argument.shown}: {self.reason}"


@dataclass(slots=True)
class Migration:
    """Arguments by name that are still to be carried, and the run file so far."""

    command: str
    """`pt`, `sft` or `rlhf`; empty when it is not known."""

    left: dict[str, Argument]
    defaults: Mapping[str, Any]
    """What the other program takes for arguments that are not given."""

    run: dict[str, Any] = field(default_factory=dict)
    """Dotted key -> value."""

    remarks: dict[str, str] = field(default_factory=dict)
    """Dotted key -> what the run file says beside it."""

    not_carried: list[NotCarried] = field(default_factory=list)

    def has(self, name: str) -> bool:
        """Say whether an argument is given and not carried yet."""
        return name in self.left

    def take(self, name: str, default: Any = None) -> Any:
        """Return the value of an argument that is carried now, else the other program's default, else `default`."""
        argument = self.left.pop(name, None)
        if argument is not None and argument.value is not None:
            return argument.value
        return self.defaults.get(name, default)

    def carry(self, name: str, key: str) -> None:
        """Put the value of an argument, or the other program's default, at `key`; nothing where there is neither."""
        is_given = self.has(name)
        value = self.take(name)
        if value is not None:
            self.put(key, value, remark="" if is_given else "their default")

    def put(self, key: str, value: Any, *, remark: str = "") -> None:
        """Put a value into the run file."""
        self.run[key] = value
        if remark:
            self.remarks[key] = remark

    def lose(self, name: str, reason: str, *, loses: bool = True) -> None:
        """Name an argument that is not carried."""
        argument = self.left.pop(name, None)
        if argument is not None:
            self.not_carried.append(NotCarried(argument, reason, loses))

    def lose_value(self, name: str, value: Any, reason: str) -> None:
        """Name one value of an argument that is not carried."""
        self.not_carried.append(NotCarried(Argument(name, value), reason, loses=True))

    def options(self, key: str, options: Mapping[str, Any]) -> None:
        """Add to the options of a part."""
        kept = {name: value for name, value in options.items() if value is not None}
        if kept:
            self.run[key] = {**self.run.get(key, {}), **kept}


def as_list(value: Any) -> list[Any]:
    """Return the members of a list, or the one value; nothing is no member."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def joined(values: Iterable[Any]) -> Any:
    """Return one value alone, and several as a list."""
    members = list(values)
    return members[0] if len(members) == 1 else members
