r"""Language consistency: the share of a response that is written in the script of its language.

    score = words in scripts of the language / words in any script

A letter of Chinese or another writing without spaces is a word. Fenced code, formulas between `$` and commands such as
`\frac` are left out. Languages of one script (English, French, German) cannot be told apart. DeepSeek-R1: Guo et al.,
2025, arXiv:2501.12948.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_reward_zoo._batch import check_lengths, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest

_SCRIPTS = {
    "han": "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]",
    "kana": "[\u3041-\u309f\u30a1-\u30ff\u31f0-\u31ff]",
    "thai": "[\u0e01-\u0e3a\u0e40-\u0e4e]",
    "latin": "[A-Za-z\u00aa-\u024f\u1e00-\u1eff]+",
    "cyrillic": "[\u0400-\u052f]+",
    "greek": "[\u0370-\u03ff\u1f00-\u1fff]+",
    "arabic": "[\u0620-\u065f\u066e-\u06d3\u0750-\u077f]+",
    "hebrew": "[\u05b0-\u05ea]+",
    "devanagari": "[\u0900-\u0963\u0970-\u097f]+",
    "hangul": "[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]+",
}
_WORDS = {name: re.compile(pattern) for name, pattern in _SCRIPTS.items()}
_LANGUAGES = {
    "zh": ("han",),
    "ja": ("han", "kana"),
    "ko": ("hangul",),
    "th": ("thai",),
    **dict.fromkeys(["en", "fr", "de", "es", "it", "pt", "nl", "pl", "tr", "vi", "id", "sv", "cs"], ("latin",)),
    **dict.fromkeys(["ru", "uk", "bg"], ("cyrillic",)),
    **dict.fromkeys(["ar", "fa", "ur"], ("arabic",)),
    "el": ("greek",),
    "he": ("hebrew",),
    "hi": ("devanagari",),
}
_FORMULA = re.compile(r"\$[^$]*\$|\\[A-Za-z]+|</?[a-z_]+>")


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageConsistency:
    """The share of words in the script of the expected language, in [0, 1]."""

    language: str = "en"
    """Code of the language, such as en, zh, ja, ko, ru or ar; the column `language` overrules it row by row."""

    def __post_init__(self) -> None:
        """Check the options."""
        _scripts(self.language, "language")

    def __call__(self, infer_requests: Sequence[InferRequest], language: Sequence[Any] | None = None) -> list[float]:
        """Return the share of each response; an empty one scores 0.0, one without a letter 1.0.

        Raises:
            ValueError: A language is not known, or there are not as many as responses.
        """
        check_lengths("language_consistency", infer_requests, {"language": language})
        codes = [self.language] * len(infer_requests) if language is None else language
        scripts = [_scripts(code, f"language of row {row}") for row, code in enumerate(codes)]
        return [
            share_in(request.response or "", wanted) for request, wanted in zip(infer_requests, scripts, strict=True)
        ]


def share_in(text: str, scripts: Sequence[str]) -> float:
    """Return the share of words of `text` in `scripts`; 0.0 when it is blank, 1.0 when it has no letter."""
    if not text.strip():
        return 0.0
    prose = _FORMULA.sub(" ", " ".join(text.split("```")[::2]))
    letters = "".join(set(prose))
    counts = {name: len(pattern.findall(prose)) for name, pattern in _WORDS.items() if pattern.search(letters)}
    total = sum(counts.values())
    return sum(counts.get(name, 0) for name in scripts) / total if total else 1.0


def _scripts(code: object, what: str) -> tuple[str, ...]:
    """Return the scripts of a language; `zh-CN` is `zh`."""
    known = _LANGUAGES.get(re.split("[-_]", code.lower())[0]) if isinstance(code, str) else None
    if known is None:
        raise ValueError(f"{what} must be one of {', '.join(sorted(_LANGUAGES))}, got {shown(code)}")
    return known
