"""`swift doctor sandbox`: the levels of this machine, and which attacks get out of each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import click

if TYPE_CHECKING:
    from swift_core.sandbox.levels import Level

_SHOWN = 5
"""Attacks that get out of L1 and are named; at L2 and L3 all are."""


def look(only: str | None) -> bool:
    """Print what holds; return whether L2 is reached and nothing gets out of it."""
    from swift_core.sandbox.levels import LEVELS, MEANING, reaches
    from swift_core.sandbox.probe import probe

    found = probe()
    click.echo(f"{'level':<8} {found.level}")
    for level in LEVELS[1:]:
        state = MEANING[level] if reaches(found.level, level) else f"not here: {found.reasons[level]}"
        click.echo(f"  {level:<6} {state}")
    wanted = [cast("Level", only)] if only else [level for level in LEVELS[1:] if reaches(found.level, level)]
    if only and not reaches(found.level, wanted[0]):
        return False
    held = [_attacked(level) for level in wanted]
    if not reaches(found.level, "L2"):
        click.echo(f"{'wrong':<8} below L2 code of others can read your files and use the network")
        return False
    return all(held)


def _attacked(level: Level) -> bool:
    """Run the attacks at a level and print the count; return whether it held as it should."""
    from swift_core.sandbox.escape import escapes

    begun = time.monotonic()
    found = escapes(level)
    out = [name for name, escaped in found.items() if escaped]
    click.echo(f"{level:<8} {len(found)} attacks, {len(out)} got out ({time.monotonic() - begun:.1f} s)")
    if level == "L1":
        rest = f", and {len(out) - _SHOWN} more" if len(out) > _SHOWN else ""
        click.echo(f"{'':<8} as expected: {', '.join(out[:_SHOWN])}{rest}")
        return True
    for name in out:
        click.echo(f"{'wrong':<8} at {level} it can {name}")
    return not out
