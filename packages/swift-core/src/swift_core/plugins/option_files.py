"""Files that options name: what a part reads from them is part of what it is.

file_options: ClassVar[tuple[str, ...]] = ("file",)     options that are paths, relative to the run file
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from swift_core.contracts.handover import PartPlan


def files_hash(part: PartPlan, folder: Path) -> str:
    """Return the SHA-256 of the files that a part's options name; empty when there are none that can be read.

    Args:
        part: Whose class may declare `file_options`.
        folder: Where relative paths start: that of the run file.
    """
    names = part.source.declared.get("file_options") or ()
    given = [str(part.options[name]) for name in names if part.options.get(name)]
    files = [folder / path for path in given if (folder / path).is_file()]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest() if files else ""
