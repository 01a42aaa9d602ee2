"""`report.html`: a run to look at, in one file that needs no network.

Everything comes from the files of the run directory, so that a report can be written again at any time, also of a run
that was stopped. Text of the run (prompts, answers, options) is hostile until escaped: the template escapes all of it,
and the page allows no script but the two it brought, by hash.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError
from markupsafe import Markup

from swift_core.artifacts.atomic import write_text
from swift_core.artifacts.completions import completion_table
from swift_core.artifacts.curves import charts
from swift_core.artifacts.metrics_file import METRICS_FILE, read_metrics
from swift_core.artifacts.report_view import changes, fact_rows, headline, part_rows, sample_rows, settings, state
from swift_core.contracts.records import broken, interpreting, read_object
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REPORT_FILE = "report.html"
_PACKAGE = "swift_core.artifacts"


def write_report(directory: Path) -> Path:
    """Write the report of the run in `directory`; return its path.

    Raises:
        SwiftError: `directory` is no run directory, or one of its files cannot be read.
    """
    path = directory / REPORT_FILE
    write_text(path, render_report(directory))
    return path


def render_report(directory: Path) -> str:
    """Return the report of the run in `directory` as HTML."""
    if not (directory / "plan.json").is_file():
        message = f"{directory} is no run directory: it has no plan.json."
        raise SwiftError(Problem("no-run", message, next_step="give the folder that swift train printed"))
    environment = Environment(loader=PackageLoader(_PACKAGE), autoescape=True, undefined=StrictUndefined)
    try:
        with interpreting(directory):
            return environment.get_template("report.html.j2").render(_content(directory)) + "\n"
    except UndefinedError as error:  # the template asks for what a record lacks
        raise broken(directory, f"is not as a run wrote it ({error})") from error


def _content(directory: Path) -> dict[str, Any]:
    """Return what the template shows, by name."""
    plan, result, versions = (_read_json(directory / name) for name in ("plan.json", "result.json", "versions.json"))
    curves = charts(read_metrics(directory))
    scripts = [_asset("uplot/uPlot.iife.min.js"), _asset("report.js")]
    content: dict[str, Any] = {
        "title": directory.resolve().name,
        "directory": str(directory),
        "state": state(result, has_metrics=(directory / METRICS_FILE).exists()),
        "headline": headline(plan, result),
        "changes": changes(result.get("before", {}), result.get("after", {})),
        "charts": curves,
        "chart_data": [asdict(chart) for chart in curves],
        "samples": sample_rows(result.get("samples", [])),
        "completions": completion_table(directory),
        "mask_preview": result.get("mask_preview", []),
        "parts": part_rows(plan),
        "notes": plan.get("notes", []),
        "extra_sections": result.get("sections", []),
        "facts": fact_rows(result.get("facts", {})),
        "settings": settings(plan),
        "versions": fact_rows(versions),
        "styles": _asset("uplot/uPlot.min.css") + _asset("report.css"),
        "scripts": scripts,
        "script_hashes": [Markup(_script_hash(script)) for script in scripts],
    }
    return content | {"contents": _contents(content)}


def _contents(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return anchor and name of each section that has something to show."""
    sections = (
        ("changes", "result", "Result"),
        ("charts", "curves", "Curves"),
        ("samples", "samples", "Answers"),
        ("completions", "completions", "Rewarded answers"),
        ("mask_preview", "mask", "What is trained"),
        ("parts", "parts", "Parts"),
        ("facts", "facts", "Data and model"),
        ("settings", "settings", "Settings"),
        ("versions", "versions", "Versions"),
    )
    extra = [(section["anchor"], section["title"]) for section in content["extra_sections"]]
    return [(anchor, name) for key, anchor, name in sections if content[key]] + extra


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object in `path`; an empty one when the run has not written the file (yet)."""
    return read_object(path) if path.exists() else {}


def _asset(name: str) -> Markup:
    """Return a file of ours as markup, which is not escaped: no text of a run is in it."""
    text = resources.files(_PACKAGE).joinpath(f"assets/{name}").read_text(encoding="utf-8")
    return Markup(text)


def _script_hash(script: str) -> str:
    """Return the source expression that lets a page run exactly this script (Content Security Policy level 2)."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"
