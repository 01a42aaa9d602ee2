"""Keys of the data section that must fit each other, the stage and this system."""

from __future__ import annotations

import os
from string import Formatter
from typing import TYPE_CHECKING

from swift_core.addresses import Allowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.resolve.findings import Findings
    from swift_core.resolve.parts import Looked

STREAMED_ROWS = ("tokens", "pairs", "prompts")
"""Kinds of rows that are made of one record each, whatever the others are."""


def check_data_keys(findings: Findings, procedure: Looked | None) -> None:
    """Keep what is wrong with mixing, streaming and encoding in processes."""
    _check_mixing(findings)
    _check_images(findings)
    data = findings.config.settings.data
    if data.streaming and procedure is not None:
        rows = str(procedure.declared("rows", "tokens"))
        if rows not in STREAMED_ROWS:
            message = f"stage {procedure.plugin.name!r} must see all rows before it can encode one of them"
            findings.wrong("stage-mismatch", message, "data.streaming", "remove the key")
    if data.num_proc > 1 and not hasattr(os, "fork"):
        message = "several processes encode rows where the system can fork, and this one cannot"
        findings.wrong("wrong-value", message, "data.num_proc", "write num_proc: 1, or remove the key")


def _check_mixing(findings: Findings) -> None:
    config = findings.config
    data = config.settings.data
    num_sets = 1 if isinstance(data.dataset, str) else len(data.dataset)
    if data.interleave_prob and num_sets != len(data.interleave_prob):
        sets = "1 data set" if num_sets == 1 else f"{num_sets} data sets"
        message = f"{len(data.interleave_prob)} numbers are given, and data.dataset names {sets}"
        findings.wrong("wrong-value", message, "data.interleave_prob", "give one number for each data set")
    if "data.stopping_strategy" in config.origins and not data.interleave_prob:
        message = "it says when mixing ends, and nothing is mixed: data.interleave_prob is empty"
        findings.wrong_key("unused-key", message, "data.stopping_strategy", "give data.interleave_prob, or remove it")


def _check_images(findings: Findings) -> None:
    config = findings.config
    data = config.settings.data
    for key, text, names in (
        ("bbox_text", data.bbox_text, ("x1", "y1", "x2", "y2")),
        ("ref_text", data.ref_text, ("ref",)),
    ):
        if reason := _unfillable(text, names):
            findings.wrong("wrong-value", reason, f"data.{key}", f"write {' '.join(f'{{{name}}}' for name in names)}")
    if isinstance(data.allow_image_urls, list):
        try:
            Allowed.of(data.allow_image_urls)
        except ValueError as error:
            message = str(error).replace("allow_hosts", "data.allow_image_urls")
            findings.wrong(
                "wrong-value", message, "data.allow_image_urls", "write host names alone: [images.example.org]"
            )
    if data.image_folder and not (config.path.parent / os.path.expanduser(data.image_folder)).is_dir():
        message = f"there is no folder {data.image_folder!r}; paths start from {config.path.parent}"
        findings.wrong("missing-path", message, "data.image_folder", "mend the path")


def _unfillable(text: str, names: Sequence[str]) -> str:
    """Return why a text cannot have `names` filled in; empty when it can."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        return f"{text!r} cannot be filled in: {error}"
    plain = all(field is None or not (spec or way) for _, field, spec, way in parts)
    if plain and sorted(field for _, field, _, _ in parts if field is not None) == sorted(names):
        return ""
    return f"{text!r} must hold {', '.join(f'{{{name}}}' for name in names)}, each once"
