"""Text as words, in any script: Chinese, Japanese and other unspaced writing counts letter by letter."""

from __future__ import annotations

import re
import unicodedata

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana and Han
)
"""Letters of scripts that put no space between words, as the inside of a character class."""

_MAX_WORD = 30
_TOKEN = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")
_PART = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")

_WIDE = {0x3000: " ", **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}}
"""Wide forms of ASCII. The compatibility form of Unicode would also make an x squared an x2."""

_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DASH = re.compile("[\u2010-\u2015]|-(?![\\d.])|(?<=\\w)-")
_DROPPED = re.compile(
    "[!\"'()\\[\\]{};?`_\u00a1\u00ab\u00b7\u00bb\u00bf\u2018-\u201f\u2026\u2039\u203a\u3001-\u3003\u3008-\u3011\u3014-\u301f]"
    r"|[.,:](?!\d)|(?<=[^\W\d])[.,:]"  # 3.14, 12:30 and .5 keep theirs
)
_ARTICLE = re.compile(r"\b(?:an?|the)\b(?![+#*/=^-])")


def tokens(text: str) -> list[str]:
    """Return words, letters of unspaced scripts and marks, in order; over 30 letters in a row come one by one."""
    found: list[str] = _TOKEN.findall(text)
    if max(map(len, found), default=0) <= _MAX_WORD:
        return found
    return [token for word in found for token in ([word] if len(word) <= _MAX_WORD else word)]


def normalized(text: str) -> str:
    """Return `text` as SQuAD compares it: lower case, no punctuation, no English articles, single spaces.

    Unlike there, marks that change the meaning stay (`-5`, `3.14`, `C++`, `50%`), a hyphen is a space, and text that
    consists of nothing else than what is dropped stays as it is. Rajpurkar et al., 2016, arXiv:1606.05250.
    """
    plain = unicodedata.normalize("NFC", text).translate(_WIDE).casefold()
    bare = _DROPPED.sub("", _DASH.sub(" ", _THOUSANDS.sub("", plain)))
    return " ".join(_ARTICLE.sub(" ", bare).split()) or plain.strip()


def normalized_parts(text: str) -> list[str]:
    """Return the words of `normalized` text, and single letters of unspaced scripts."""
    return _PART.findall(normalized(text))
