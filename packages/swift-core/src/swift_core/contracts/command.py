"""Sub-commands of `swift` that other wheels bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Command(Protocol):
    """A `swift.commands` plugin: a `click.Command`. It is imported when its name stands on the command line.

    The name of the entry point is the name of the command, with `_` as `-`; core's own commands are not replaced.
    """

    name: str | None

    def main(self, args: Sequence[str] | None = None, *, standalone_mode: bool = True) -> Any:
        """Parse `args` and run."""
