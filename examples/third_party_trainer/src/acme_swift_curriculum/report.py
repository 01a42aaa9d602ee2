"""A section of the run's report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from acme_swift_curriculum.lengths import in_words, row_lengths
from swift_core.plugin_api import ReportSection, hookimpl

if TYPE_CHECKING:
    from swift_core.contracts.handover import RunResult


@dataclass(frozen=True, kw_only=True)
class CurriculumReport:
    """Say in the report how the length of rows grew."""

    @hookimpl
    def swift_report_section(self, result: RunResult) -> ReportSection | None:
        """Return the section; none for a run of another stage."""
        lengths = row_lengths(result.parts.directory)
        return ReportSection("Curriculum", in_words(lengths)) if lengths else None
