"""One spelling for one thing: answers with their typesetting taken off."""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"), "")
_SIGNS = {
    "\u2212": "-",
    "\u2012": "-",
    "\u2013": "-",
    "\u2014": "-",
    "\u00d7": r"\times ",
    "\u00b7": r"\cdot ",
    "\u22c5": r"\cdot ",
    "\u00f7": "/",
    "\u2044": "/",
    "\u2215": "/",
    "\u221e": r"\infty ",
    "\u03c0": r"\pi ",
    "\u03b8": r"\theta ",
    "\u2264": r"\le ",
    "\u2265": r"\ge ",
    "\u2260": r"\ne ",
    "\u00b1": r"\pm ",
    "\u222a": r"\cup ",
    "\u2229": r"\cap ",
    "\u2208": r"\in ",
    "\u2205": r"\emptyset ",
    "\u00b0": "",
    "\u2032": "'",
    "\u20ac": "$",
    "\u00a3": "$",
}
_SIGN_TABLE = str.maketrans(_SIGNS)
_SUPERSCRIPTS = str.maketrans(
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b\u207a", "0123456789-+"
)
_SUPERSCRIPT = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207a\u207b]+")
_DEGREES = re.compile(
    r"\u2103|\u2109|(?:\u00b0|\^\s*\{?\s*\\circ\s*\}?)\s*(?:\\(?:text|mathrm)\s*\{\s*[CF]\s*\}|[CF](?![A-Za-z]))"
)
_VULGAR = re.compile("(\\d?)([\u00bc-\u00be\u2150-\u215e])")
_ROOT = re.compile(r"\u221a\s*(?:\(([^()]*)\)|(\d+(?:\.\d+)?|\w))|\bsqrt\s*\(([^()]*)\)")
_SPACING = re.compile(
    r"(?<!\\)\\(?:[,;: ]|quad|qquad|displaystyle|left(?![a-z])|right(?![a-z])|[bB]igg?[lr]?(?![a-z])"
    r"|(?:textstyle|small|normalsize|large|Large|LARGE|huge|Huge|rm|it|bf)(?![a-zA-Z]))|~"
)
_NO_SPACE = re.compile(r"(?<=,)\\!\s*|\\!")
r"""Space that is taken away; behind a comma it stands in numbers, `1,\!234`."""

_ANGLE = re.compile(
    r"(\\(?:sin|cos|tan|cot|sec|csc)(?:\s*\^\s*\{?\d\}?)?)\s*(?:\\left)?[({]?\s*(-?\d+(?:\.\d+)?)\s*"
    r"(?:\u00b0|\^\s*\{?\s*\\circ\s*\}?|\\degree)\s*(?:\\right)?[)}]?"
)
_SAID = re.compile(
    r"^(?:(?:the|our|my|final|correct|so|thus|therefore),? )*answer(?: is:?|:| =) ?(?=\S)", re.IGNORECASE
)
_TEXT = re.compile(r"\\(?:text(?:bf|rm|it|normal)?|mathrm|mathbf|mbox|operatorname|mathit|bf)\s*\{([^{}]*)\}")
_RENAMED = (
    (re.compile(r"\\[dtc]frac"), r"\\frac"),
    (re.compile(r"\{\s*([^{}]+?)\s*\\over(?![a-z])\s*([^{}]+?)\s*\}"), r"\\frac{\1}{\2}"),
    (re.compile(r"\{\s*([^{}]+?)\s*\\choose(?![a-z])\s*([^{}]+?)\s*\}"), r"\\binom{\1}{\2}"),
    (re.compile(r"\\dot\s*\{?(\d)\}?"), r"\\overline{\1}"),
    (re.compile(r"\\langle(?![a-z])"), "("),
    (re.compile(r"\\rangle(?![a-z])"), ")"),
    (re.compile(r"\\\{\s*\\\}"), r"\\emptyset"),
    (re.compile(r"(?<=[)\]])\s*U\s*(?=[(\[])"), r"\\cup "),
    (re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\degree"), ""),
    (re.compile(r"\\(?:varnothing|empty)(?![a-z])"), r"\\emptyset"),
    (re.compile(r"\\leq(?:slant)?(?![a-z])"), r"\\le"),
    (re.compile(r"\\geq(?:slant)?(?![a-z])"), r"\\ge"),
    (re.compile(r"\\lt(?![a-z])"), "<"),
    (re.compile(r"\\gt(?![a-z])"), ">"),
    (re.compile(r"\\lbrack(?![a-z])"), "["),
    (re.compile(r"\\rbrack(?![a-z])"), "]"),
    (re.compile(r"\\lbrace(?![a-z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![a-z])"), r"\\}"),
    (re.compile(r"\\log\s*_\s*(?:\{\s*e\s*\}|e(?![a-z]))"), r"\\ln "),
    (re.compile(r"\{\s*([-+])\s*\}"), r"\1"),
    (re.compile(r"\\neq(?![a-z])"), r"\\ne"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\\$"), "$"),
    (re.compile(r"\*\*\s*(?=[-\d({a-zA-Z])"), "^"),
    (re.compile(r"(?<![\\A-Za-z])pi(?![A-Za-z])"), r"\\pi"),
    (re.compile(r"(?<![\\A-Za-z])(?:infinity|inf|oo)(?![A-Za-z])"), r"\\infty"),
)
_NOTHING = re.compile(r"(?:the )?empty set|(?:there (?:is|are) )?no solutions?", re.IGNORECASE)
_MAX_NESTED = 8
"""Levels of typesetting within each other that are taken off."""

_WRAPPERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("__", "__"), ("`", "`"))


def plain(text: str) -> str:
    """Return `text` without typesetting: one spelling of signs, fractions, spaces and braces; meaning is kept."""
    text = _ascii(text.strip())
    text = _unwrap(text)
    text = _SPACING.sub(" ", _NO_SPACE.sub("", text))
    for pattern, replacement in _RENAMED:
        text = pattern.sub(replacement, text)
    for _ in range(_MAX_NESTED):
        text, bare = _TEXT.sub(r" \1 ", text), text
        if text == bare:
            break
    text = _without_braces(re.sub(r"\s+", " ", _unwrap(text.strip())).strip())
    text = _SAID.sub("", re.sub(r"[.,;:]+$", "", text).strip())
    return r"\emptyset" if _NOTHING.fullmatch(text) else text


def compact(text: str) -> str:
    r"""Return `plain` text without spaces, except those that keep a command from its argument, or digits apart."""
    kept = re.sub(r"(\\[a-zA-Z]+) (?=[a-zA-Z])|(\d) (?=\d)", "\\1\\2\0", text)
    return re.sub(r"([\^_])\{(\w)\}", r"\1\2", kept.replace(" ", "")).replace("\0", " ")


def _without_braces(text: str) -> str:
    """Take off braces that do nothing but group the whole; a comma within them makes a set."""
    for _ in range(_MAX_NESTED):
        inner = text[1:-1]
        if not (text.startswith("{") and text.endswith("}") and "," not in inner and _is_closed(inner)):
            break
        text = inner.strip()
    return text


def _is_closed(text: str) -> bool:
    """Say whether no brace of `text` belongs to one outside of it."""
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def _ascii(text: str) -> str:
    """Return `text` in ASCII signs as far as there are such."""
    text = re.sub(r"(?<!\\)\\$", "", text)  # of a space that was stripped
    text = _ANGLE.sub(r"\1(\\frac{\2\\pi}{180})", text)
    text = _DEGREES.sub("", text.translate(_INVISIBLE))
    text = _SUPERSCRIPT.sub(lambda found: "^{" + found.group().translate(_SUPERSCRIPTS) + "}", text)
    text = _VULGAR.sub(_mixed, text)
    text = _ROOT.sub(lambda found: r"\sqrt{" + next(group for group in found.groups() if group is not None) + "}", text)
    return unicodedata.normalize("NFKC", text.translate(_SIGN_TABLE)).translate(_SIGN_TABLE)


def _mixed(found: re.Match[str]) -> str:
    """Return a fraction character as `1/2`, after a space where a digit stands before it."""
    whole, fraction = found.groups()
    return (f"{whole} " if whole else "") + unicodedata.normalize("NFKC", fraction).replace("\u2044", "/")


def _unwrap(text: str) -> str:
    """Take off delimiters around the whole, and the point that ends a sentence."""
    while True:
        text = re.sub(r"(?<=[^.])\.$", "", text.strip()).strip()
        for opening, closing in _WRAPPERS:
            inner = text[len(opening) : -len(closing)]
            if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
                if opening in ("$", "$$") and "$" in inner.replace(r"\$", ""):
                    continue
                text = inner
                break
        else:
            return text
