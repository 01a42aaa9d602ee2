"""Keys of the data section that must fit each other, the stage and this system."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift_core.resolve.findings import Findings
    from swift_core.resolve.parts import Looked

STREAMED_ROWS = ("tokens", "pairs", "prompts")
"""Kinds of rows that are made of one record each, whatever the others are."""


def check_data_keys(findings: Findings, procedure: Looked | None) -> None:
    """Keep what is wrong with mixing, streaming and encoding in processes."""
    _check_mixing(findings)
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
