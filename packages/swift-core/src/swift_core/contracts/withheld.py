"""What a message says of text that came from the data or from a model: how long it is, and not what it says.

Messages go to logs, and logs to places where data must not be. SWIFT_SHOW_TEXT=1 lets them quote it.
"""

from __future__ import annotations

import hashlib
import os

_SHOWN = 200
"""Characters that are quoted, of the end: there a judge writes its mark, and a server its error."""


def withheld(value: object) -> str:
    """Return length and hash of a text, which tell two of them apart, or its end where SWIFT_SHOW_TEXT is set."""
    text = value if isinstance(value, str) else repr(value)
    if os.environ.get("SWIFT_SHOW_TEXT"):
        return repr(text[-_SHOWN:])
    digest = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{len(text)} characters, SHA-256 {digest}...; SWIFT_SHOW_TEXT=1 shows them"
