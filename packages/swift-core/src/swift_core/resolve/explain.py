"""A plan in words: what `swift plan` prints."""

from __future__ import annotations

import json
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from swift_core.contracts.plan_json import engine_dict, part_dict, settings_dict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from swift_core.contracts.handover import PartPlan, RunPlan

WIDTH = 110


def explain(plan: RunPlan, summary: Sequence[tuple[str, str]] = ()) -> str:
    """Return the plan as text.

    Args:
        plan: What will be done.
        summary: Lines that stand first, as (word, text): sizes, steps, memory.
    """
    blocks = [list(_table(summary, indent="")), _parts(plan), _engine(plan), _values(plan)]
    blocks += [_defaults(plan), _notes(plan)]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _table(rows: Sequence[tuple[str, ...]], indent: str = "  ") -> Iterator[str]:
    if not rows:
        return
    widths = [min(max(len(row[column]) for row in rows), 46) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
        yield f"{indent}{'  '.join((*cells, row[-1]))}".rstrip()


def _parts(plan: RunPlan) -> list[str]:
    rows = []
    for part in plan.parts:
        rows.append((part.kind, part.plugin.name, _wheel(part), _chosen_by(plan, part)))
        rows += [("", f"  {name}", f"= {text}", origin) for name, text, origin in _options(part)]
    return ["parts", *_table(rows)]


def _wheel(part: PartPlan) -> str:
    version = f" {part.plugin.version}" if part.plugin.version else ""
    return f"{part.plugin.distribution}{version}"


def _chosen_by(plan: RunPlan, part: PartPlan) -> str:
    origin = plan.config.origins.get(part.key)
    if origin:
        return f"{part.key} ({origin.place or origin.kind})"
    return f"{part.key} (it knows {plan.settings.model.model_id})" if part.kind == "hub" else f"{part.key} (default)"


def _options(part: PartPlan) -> Iterator[tuple[str, str, str]]:
    for name, option in part_dict(part)["options"].items():
        yield name, _short(option["value"]), _origin_text(option)


def _engine(plan: RunPlan) -> list[str]:
    """Return every option of the method that processes share the run by; a single process has none."""
    rows = []
    for name, option in engine_dict(plan).items():
        inner, origin = option["value"], _origin_text(option)
        if isinstance(inner, dict) and inner:  # a map is shown in full
            rows.append((f"  {name}", "", origin))
            rows += [(f"    {key or '(all)'}", f"= {_short(value)}", "") for key, value in inner.items()]
        else:
            rows.append((f"  {name}", f"= {_short(inner)}", origin))
    return [f"engine  {plan.parallel.method}", *_table(rows)] if rows else []


def _values(plan: RunPlan) -> list[str]:
    rows = [(key, _short(v["value"]), _origin_text(v)) for key, v in _settings(plan) if v["origin"] != "default"]
    return ["values", *_table(rows)]


def _defaults(plan: RunPlan) -> list[str]:
    texts = [f"{key}={_short(v['value'])}" for key, v in _settings(plan) if v["origin"] == "default"]
    lines = wrap(" · ".join(texts), WIDTH, break_long_words=False, break_on_hyphens=False)
    return ["defaults", *(f"  {line}" for line in lines)]


def _notes(plan: RunPlan) -> list[str]:
    return ["notes", *(f"  {note}" for note in plan.notes)] if plan.notes else []


def _settings(plan: RunPlan) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for section, values in settings_dict(plan).items():
        for name, valued in values.items():
            yield (f"{section}.{name}" if section else name), valued


def _origin_text(valued: Mapping[str, Any]) -> str:
    where = valued.get("place") or valued["origin"]
    inner = ", ".join(f"{name}: {o.get('place') or o['origin']}" for name, o in valued.get("inner", {}).items())
    remarks = [text for text in (valued.get("note", ""), inner) if text]
    return f"{where} ({'; '.join(remarks)})" if remarks else str(where)


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value or "''"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
