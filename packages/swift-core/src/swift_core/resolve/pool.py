"""Where the confined processes of rewards and metrics run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.handover import PartPlan
    from swift_core.resolve.parts import PartFinder

_KEY = "plugins.sandbox.pool"


def find_pool(finder: PartFinder, parts: Sequence[PartPlan]) -> PartPlan | None:
    """Return the pool that the run file names; None where nothing could run in it.

    Args:
        finder: Looks names up.
        parts: The rewards and metrics of the run.
    """
    sandbox = finder.config.settings.plugins.sandbox
    looked = finder.look("pool", _KEY, sandbox.pool)
    part = finder.part(looked, sandbox.pool_kwargs, f"{_KEY}_kwargs") if looked else None
    alone = [each for each in parts if not each.source.declared.get("own_sandbox")]
    apart = [each for each in alone if sandbox.mode == "all" or not each.plugin.first_party]
    if _KEY in finder.config.origins and (sandbox.mode == "off" or not apart):
        why = "mode is off" if sandbox.mode == "off" else "no reward or metric is of another wheel or a file"
        finder.findings.note(f"{_KEY} has no effect: {why} (plugins.sandbox.mode: all lets ours run apart too)")
        return None
    return part if parts else None
