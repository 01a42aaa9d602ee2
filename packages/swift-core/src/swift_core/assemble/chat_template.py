"""Chat templates: Jinja2 in a sandbox, with what transformers offers to a template and nothing more.

A template may run `raise_exception`, `strftime_now`, `tojson`, `break` and `continue`, and may wrap what the assistant
says in `{% generation %}`. It cannot reach Python. Text and special tokens come out exactly as `apply_chat_template`
writes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
import jinja2.utils

from swift_core.contracts.data import OWN_KEYS

_OPEN, _CLOSE = "\ue0f0", "\ue0f1"
"""Private-use characters that stand for the ends of a generation block while its place is looked for."""

_MARK = re.compile(f"[{_OPEN}{_CLOSE}]")

_PROBE = "probe"

_REASONING_NAMES = ("reasoning_content", "thinking", "reasoning")


class ChatTemplate:
    """A compiled chat template with the variables it always sees."""

    def __init__(self, source: str, variables: Mapping[str, Any]) -> None:
        """Compile `source`; raise ValueError when it is no valid template."""
        self.source = source
        self._variables = dict(variables)
        try:
            self._template = _compiled(source, False)
            self._marking = _compiled(source, True)
        except jinja2.TemplateSyntaxError as error:
            raise ValueError(
                f"the chat template has a syntax error in its line {error.lineno}: {error.message}"
            ) from error

    def in_form(self, messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Return the turns with text in parts, where the template reads nothing else, as some for images do."""
        if not self._reads_parts_alone:
            return messages
        return [_in_parts(message) for message in messages]

    @cached_property
    def _reads_parts_alone(self) -> bool:
        if "type" not in self.source:
            return False
        plain = {"role": "user", "content": _PROBE}
        try:
            written = self.render([plain], (), False)
            return _PROBE not in written and self.render([_in_parts(plain)], (), False).count(_PROBE) == 1
        except ValueError:
            return False

    @property
    def facts(self) -> tuple[str, dict[str, Any]]:
        """What it is made of: its source, and the variables that it always sees."""
        return self.source, self._variables

    def render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], add_generation_prompt: bool
    ) -> str:
        """Return the conversation as text; raise ValueError with the template's own words when it refuses."""
        return self._run(self._template, messages, tools, add_generation_prompt)

    def marks(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
        """Return the characters of the rendered text that generation blocks wrote."""
        if "generation" not in self.source:
            return []
        text = self._run(self._marking, messages, tools, False)
        spans: list[tuple[int, int]] = []
        starts: list[int] = []
        for number, mark in enumerate(_MARK.finditer(text)):
            position = mark.start() - number
            if mark.group() == _OPEN:
                starts.append(position)
            else:
                spans.append((starts.pop(), position))
        return spans

    def _run(
        self,
        template: jinja2.Template,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        add_generation_prompt: bool,
    ) -> str:
        try:
            return template.render(
                **{
                    "messages": [_message(message) for message in messages],
                    "tools": _plain(list(tools)) if tools else None,
                    "documents": None,
                    "add_generation_prompt": add_generation_prompt,
                    **_plain(self._variables),
                }
            )
        except (jinja2.TemplateError, TypeError) as error:
            raise ValueError(f"the chat template refuses the conversation: {error}") from error


def _in_parts(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a turn whose content, when it is text, is one part."""
    content = message.get("content")
    return {**message, "content": [{"type": "text", "text": content}]} if isinstance(content, str) else message


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a turn as templates expect it: no None, no key of ours, reasoning under each name in use."""
    turn: dict[str, Any] = {key: value for key, value in message.items() if value is not None and key not in OWN_KEYS}
    turn = _plain(turn)
    reasoning = next((turn[name] for name in _REASONING_NAMES if name in turn), None)
    return turn if reasoning is None else {"thinking": reasoning, **turn, "reasoning_content": reasoning}


def _plain(value: Any) -> Any:
    """Return `value` as plain JSON types; of anything else a template sees only the type's name."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return f"<{type(value).__name__}>"


class _Generation(jinja2.ext.Extension):
    """The block tag `generation`: its body unchanged, between two marks when the environment asks for them."""

    tags = {"generation"}  # noqa: RUF012 -- jinja2 declares it so

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_write"), [], [], body).set_lineno(line)

    def _write(self, caller: Callable[[], str]) -> str:
        text = caller()
        return f"{_OPEN}{text}{_CLOSE}" if self.environment.globals["_marks_generation"] else text


class _Dict:
    """`dict` for templates: it makes mappings and gives away no type."""

    def __call__(self, *pairs: Any, **items: Any) -> dict[Any, Any]:
        return dict(*pairs, **items)


class _Namespace(jinja2.utils.Namespace):
    """A namespace that stores no underscored name, so that no template reaches Python's internals."""

    def __init__(*self_and_pairs: Any, **items: Any) -> None:
        namespace, *pairs = self_and_pairs
        values = dict(*pairs, **items)
        for name in values:
            _refuse_underscore(name)
        jinja2.utils.Namespace.__init__(namespace, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_underscore(name)
        super().__setitem__(name, value)


def _refuse_underscore(name: str) -> None:
    if str(name).startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a chat template may not store {name!r} in a namespace")


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Return `value` as JSON; Jinja's own filter would escape HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


@lru_cache(maxsize=32)
def _compiled(source: str, marks_generation: bool) -> jinja2.Template:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals |= {
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
        "dict": _Dict(),
        "namespace": _Namespace,
        "_marks_generation": marks_generation,
    }
    return environment.from_string(source)
