"""Text as words, in any script: Chinese, Japanese and other unspaced writing counts letter by letter."""

from __future__ import annotations

import re
import unicodedata
from itertools import filterfalse

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana and Han
)
"""Letters of scripts that put no space between words, as the inside of a character class."""

_MAX_WORD = 30
_WORD = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")

_WIDE = {0x3000: " ", **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}}
"""Wide forms of ASCII. The compatibility form of Unicode would also make an x squared an x2."""

_MARKS = "!\"'()[]{};?`_\u00a1\u00ab\u00b7\u00bb\u00bf\u2026\u2039\u203a\u3001\u3002\u3003\u3014\u3015" + "".join(
    map(chr, [*range(0x2018, 0x2020), *range(0x3008, 0x3012), *range(0x3016, 0x3020)])
)
_NO_MARKS = {ord(mark): None for mark in _MARKS}
_POINT = re.compile(r"[.,:](?:(?!\d)|(?<=[^\W\d].))")  # 3.14, 12:30 and .5 keep theirs
_THOUSANDS = re.compile(r",(?<=\d,)(?=\d{3}(?!\d))")
_DASH = re.compile(r"-(?:(?![\d.])|(?<=\w-))|[\u2010-\u2015]")
_ARTICLES = frozenset(["a", "an", "the"])


def words(text: str) -> list[str]:
    """Return what stands between spaces, and single letters of unspaced scripts, in order."""
    found: list[str] = text.split() if text.isascii() else _WORD.findall(text)
    return found


def short_words(text: str) -> list[str]:
    """Return the words of `text`; one of over 30 letters comes letter by letter."""
    found = words(text)
    if max(map(len, found), default=0) <= _MAX_WORD:
        return found
    return [part for word in found for part in ([word] if len(word) <= _MAX_WORD else word)]


def normalized(text: str) -> str:
    """Return `text` as SQuAD compares it: lower case, no punctuation, no English articles, single spaces.

    Unlike there, marks that change the meaning stay (`-5`, `3.14`, `C++`, `50%`), a hyphen is a space, and text that
    consists of nothing else than what is dropped stays as it is. Rajpurkar et al., 2016, arXiv:1606.05250.
    """
    plain = text if text.isascii() else unicodedata.normalize("NFC", text).translate(_WIDE)
    bare = _THOUSANDS.sub("", plain.casefold())
    if "-" in bare or not bare.isascii():
        bare = _DASH.sub(" ", bare)
    bare = _POINT.sub("", bare.translate(_NO_MARKS))
    return " ".join(filterfalse(_ARTICLES.__contains__, bare.split())) or plain.casefold().strip()
