"""From the JSON files of a run to the rows that its report shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_HIGHER_IS_BETTER = ("accuracy", "margin", "match", "reward")
_LOWER_IS_BETTER = ("loss", "perplexity")
_NOT_JUDGED = ("runtime", "_per_second", "epoch", "jit_compilation_time", "model_preparation_time")


def state(result: Mapping[str, Any], *, has_metrics: bool) -> dict[str, str]:
    """Return how the run ended, as `kind` (a CSS class) and `text`."""
    if not result:
        text = "Not finished: figures so far." if has_metrics else "Not finished: nothing was logged yet."
        return {"kind": "open", "text": text}
    if result["interrupted"]:
        return {"kind": "stopped", "text": f"Stopped by hand after step {result['num_steps']}."}
    return {"kind": "done", "text": "Finished."}


def headline(plan: Mapping[str, Any], result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the few facts that say what this run was."""
    names = {part["key"]: part["name"] for part in plan["parts"]}
    rows = [
        ("Model", text(plan["settings"]["model"]["model_id"]["value"])),
        ("Stage", names.get("train.stage", "")),
        ("Loss", names.get("train.loss_type", "")),
        ("Optimizer", names.get("train.optimizer_type", "")),
        ("Tuner", names.get("train.tuner_strategy", "")),
    ]
    if result:
        rows += [("Steps", str(result["num_steps"])), ("Time", duration(result["seconds"]))]
        rows += [(f"Peak memory, {device}", size(amount)) for device, amount in result["memory"].items()]
    return [(name, value) for name, value in rows if value]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return each held-out figure before and after, with `verdict` good or bad where one direction is better."""
    names = [name for name in dict.fromkeys([*before, *after]) if not name.endswith(_NOT_JUDGED)]
    return [_change(name, before.get(name), after.get(name)) for name in names]


def _change(name: str, before: Any, after: Any) -> dict[str, str]:
    direction = 1 if name.endswith(_HIGHER_IS_BETTER) else -1 if name.endswith(_LOWER_IS_BETTER) else 0
    verdict = ""
    if direction and _is_number(before) and _is_number(after) and before != after:
        verdict = "good" if (after - before) * direction > 0 else "bad"
    return {
        "name": name.removeprefix("eval_").replace("_", " "),
        "before": text(before),
        "after": text(after),
        "verdict": verdict,
        "wish": {1: "higher is better", -1: "lower is better", 0: ""}[direction],
    }


def sample_rows(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return prompts and answers as text, with whether each answer is the expected one."""
    rows = []
    for sample in samples:
        row = {name: text(sample.get(name)) if sample.get(name) is not None else "" for name in _SAMPLE}
        expected = row["expected"].strip()
        right = {f"{when}_right": bool(expected) and row[when].strip() == expected for when in ("before", "after")}
        rows.append(row | right)
    return rows


_SAMPLE = ("prompt", "expected", "before", "after")


def part_rows(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parts with the wheel and version each came from."""
    return [
        {
            "kind": part["kind"],
            "name": part["name"],
            "origin": f"{part['wheel']} {part['version']}".strip(),
            "options": [_setting(name, entry) for name, entry in part["options"].items()],
        }
        for part in plan["parts"]
    ]


def settings(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the sections of the run file, each value with where it came from."""
    return [_section(name, keys) for name, keys in plan["settings"].items()]


def _section(name: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    rows = [_setting(key, entry) for key, entry in keys.items()]
    num_given = sum(not row["is_default"] for row in rows)
    return {"name": name or "top level", "rows": rows, "num_given": num_given, "open": num_given > 0}


def _setting(key: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return one value with its origin in words: `run.yaml:5:3`, `command line`, `chosen: small model`."""
    origin = entry.get("place", entry["origin"])
    note = entry.get("note", "")
    return {
        "key": key,
        "value": exact(entry["value"]),
        "origin": f"{origin}: {note}" if note else origin,
        "is_default": entry["origin"] in ("default", "plugin default"),
    }


def fact_rows(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested facts as rows of name and text."""
    rows: list[tuple[str, str]] = []
    for name, value in facts.items():
        label = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            rows += fact_rows(value, f"{label}: ")
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            for number, item in enumerate(value, start=1):
                rows += fact_rows(item, f"{label} {number}: ")
        else:
            rows.append((label, text(value)))
    return rows


def exact(value: Any) -> str:
    """Return a setting as it can be written in a run file."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def text(value: Any) -> str:
    """Return a figure or a text as a reader wants it: four digits of a fraction, text as it is, the rest as JSON."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}".replace(",", "\u202f") if abs(value) >= 10_000 else str(value)
    return json.dumps(value, ensure_ascii=False)


def duration(seconds: float) -> str:
    """Return a time as `2 h 03 min`, `4 min 07 s` or `8.1 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(num_bytes: int) -> str:
    """Return an amount of memory in MB or GB."""
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
