"""What a run leaves in writing beside its weights: the versions it ran with, and its result."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

from swift_core.artifacts.mask_preview import mask_preview

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swift_core.contracts.handover import RunPlan, RunResult

_LIBRARIES = ("torch", "transformers", "peft", "accelerate", "datasets", "tokenizers", "safetensors")
_WHEELS = ("swift-core", "swift-loss-zoo", "swift-optim-zoo", "swift-reward-zoo", "swift-native")


def versions(plan: RunPlan) -> dict[str, Any]:
    """Return the versions of Python, the machine, the libraries and every wheel of the run, importing none of them."""
    brought = [part.plugin.distribution for part in (*plan.parts, *plan.formats) if part.plugin.path is None]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "wheels": _installed(dict.fromkeys([*_WHEELS, *brought])),
        "libraries": _installed(_LIBRARIES),
    }


def result_dict(result: RunResult) -> dict[str, Any]:
    """Return what training reached as data for `result.json`."""
    parts = result.parts
    keeps_text = parts.plan.settings.train.keep_text
    content: dict[str, Any] = {
        "before": dict(result.before),
        "after": dict(result.after),
        "samples": [dict(sample) for sample in result.samples] if keeps_text else [],
        "num_steps": result.num_steps,
        "seconds": result.seconds,
        "interrupted": result.interrupted,
        "memory": peak_memory(),
        "facts": dict(parts.facts),
    }
    content["mask_preview"] = mask_preview(parts.train_dataset, parts.encoder) if keeps_text else []
    return content


def report_sections(result: RunResult) -> list[dict[str, str]]:
    """Return what enabled hooks add to the report, each with an anchor."""
    answers = result.parts.hooks.hook.swift_report_section(result=result)
    sections = [section for section in answers if section is not None]
    return [
        {"anchor": f"section-{number}", "title": str(section.title), "text": str(section.text)}
        for number, section in enumerate(sections, start=1)
    ]


def peak_memory() -> dict[str, int]:
    """Return the most memory this process has held, in bytes: `cpu`, and `gpu` where there is one."""
    peaks: dict[str, int] = {}
    if sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peaks["cpu"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peaks["gpu"] = torch.cuda.max_memory_allocated()
    return peaks


def _installed(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those that are installed; the run did without the others."""
    found = ((name, next(iter(metadata.distributions(name=name)), None)) for name in names)
    return {name: distribution.version for name, distribution in found if distribution is not None}
