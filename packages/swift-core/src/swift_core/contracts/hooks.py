"""Hooks: observers of a whole run. Their moments are specified in `swift_core.plugins.hookspecs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pluggy

PROJECT = "swift"
"""Name under which pluggy knows our hooks."""

hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function or method as the implementation of the hook of its name."""


class Hooks(Protocol):
    """A `swift.hooks` plugin: a class built from its options, or a module; some of its functions carry `@hookimpl`.

    An implementation takes those arguments of the specification that it needs, by name. It takes part only in runs
    whose `plugins.enable` names it.
    """


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A piece of the run's report."""

    title: str
    text: str
    """Plain text; an empty line separates paragraphs."""
