"""Text to tokens: the model's tokenizer with its chat template, with and without transformers.

`LightEncoder` reads a model folder with tokenizers and Jinja2 alone, so that `swift plan` and `swift preview` need no
torch. `HfEncoder` wraps the tokenizer a run trains with. Both give the same text and the same ids.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.assemble.chat_template import ChatTemplate
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

    from swift_core.contracts.data import Message
    from swift_core.contracts.handover import RunConfig

_NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class NoChatTemplate(ValueError):  # noqa: N818 -- it says what is not there
    """The tokenizer has no chat template, and the data are conversations."""

    def __init__(self) -> None:
        super().__init__("the tokenizer has no chat template, and the row is a conversation")


class _Encoder:
    """What both encoders share: a fast tokenizer, and templates by name."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        named_tokens: Mapping[str, str],
        templates: Mapping[str, str],
        template_kwargs: Mapping[str, Any],
    ) -> None:
        self._tokenizer = tokenizer
        self.opening_ids: Sequence[int] = _opening(tokenizer)
        # With no special tokens added a post-processor only trims offsets; this one leaves them whole.
        from tokenizers import processors

        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        added = tokenizer.get_added_tokens_decoder().values()
        self.special_tokens = frozenset(token.content for token in added if token.special)
        self.eos_token_id = _token_id(tokenizer, named_tokens, "eos_token")
        self.pad_token_id = (
            _token_id(tokenizer, named_tokens, "pad_token") if "pad_token" in named_tokens else self.eos_token_id
        )
        variables = {**named_tokens, **template_kwargs}
        self._templates = {name: ChatTemplate(source, variables) for name, source in templates.items()}

    def fingerprint(self) -> str:
        """Return a hash of all that decides which tokens a text becomes; of the date, where a template writes it."""
        templates = {name: template.facts for name, template in sorted(self._templates.items())}
        dated = any("strftime_now" in template.source for template in self._templates.values())
        facts = [templates, list(self.opening_ids), self.eos_token_id, self.pad_token_id, sorted(self.special_tokens)]
        facts.append(date.today().isoformat() if dated else "")
        text = self._tokenizer.to_str() + json.dumps(facts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Return token ids without added special tokens."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return token ids, and for each the characters [start, end) of `text` it stands for."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`, special tokens included."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        add_generation_prompt: bool = False,
    ) -> str:
        """Return the conversation as one string; raise ValueError when there is no chat template or it refuses."""
        template = self._template(tools)
        return template.render(template.in_form(messages), tools, add_generation_prompt)

    def generation_marks(
        self, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> list[tuple[int, int]]:
        """Return the characters of `render` that the template's generation blocks wrote."""
        template = self._template(tools)
        return template.marks(template.in_form(messages), tools)

    def _template(self, tools: Sequence[Mapping[str, Any]]) -> ChatTemplate:
        if tools and "tool_use" in self._templates:
            return self._templates["tool_use"]
        if "default" not in self._templates:
            raise NoChatTemplate
        return self._templates["default"]


class LightEncoder(_Encoder):
    """A model folder's tokenizer, read without transformers."""

    @classmethod
    def open(
        cls, folder: Path, chat_template: str = "", template_kwargs: Mapping[str, Any] | None = None
    ) -> LightEncoder:
        """Read the tokenizer in `folder`.

        Args:
            folder: A model folder with `tokenizer.json` and `tokenizer_config.json`.
            chat_template: Text of a template that replaces the folder's own; empty keeps it.
            template_kwargs: Variables for the template.

        Raises:
            ValueError: There is no `tokenizer.json`, no end-of-text token, or the template is not valid.
        """
        from tokenizers import Tokenizer

        file = folder / "tokenizer.json"
        if not file.is_file():
            raise ValueError(f"{folder} has no tokenizer.json")
        tokenizer = Tokenizer.from_file(str(file))
        config = _json(folder / "tokenizer_config.json")
        named = _named_tokens(config, _json(folder / "special_tokens_map.json"))
        _declare(tokenizer, config, named)
        templates = {"default": chat_template} if chat_template else _templates(folder, config)
        return cls(tokenizer, named, templates, template_kwargs or {})


class HfEncoder(_Encoder):
    """A transformers tokenizer; the tokenizer itself is left as it is."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template_kwargs: Mapping[str, Any] | None = None) -> None:
        """Wrap `tokenizer`; raise ValueError when it has no fast form, since positions come from it."""
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ValueError(
                f"{type(tokenizer).__name__} has no tokenizers backend, which tells where each token stands"
            )
        own = tokenizer.chat_template
        templates = {} if own is None else dict(own) if isinstance(own, dict) else {"default": own}
        super().__init__(copy.deepcopy(backend), tokenizer.special_tokens_map, templates, template_kwargs or {})


def open_encoder(config: RunConfig, folder: Path) -> LightEncoder:
    """Return the encoder of a run over a model folder; SwiftError when tokenizer or template is unusable."""
    template = read_chat_template(config)
    try:
        return LightEncoder.open(folder, template, config.settings.model.chat_template_kwargs)
    except ValueError as error:
        key = "model.chat_template" if template else "model.model_id"
        message = f"{str(error)[:1].upper()}{str(error)[1:]}."
        raise SwiftError(
            Problem(
                "unusable-tokenizer", message, config.place(key), "use a model whose tokenizer.json names an eos_token"
            )
        ) from error


def read_chat_template(config: RunConfig) -> str:
    """Return the text of `model.chat_template`, empty when none is named; SwiftError when it cannot be read.

    The path is relative to the run file's folder.
    """
    named = config.settings.model.chat_template
    if not named:
        return ""
    path = config.path.parent / os.path.expanduser(named)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SwiftError(
            Problem(
                "chat-template-unreadable",
                f"the chat template {path} cannot be read: {reason}.",
                config.place("model.chat_template"),
                "give the path of a Jinja file, relative to the run file's folder",
            )
        ) from error


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    content = json.loads(file.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _named_tokens(config: Mapping[str, Any], older: Mapping[str, Any]) -> dict[str, str]:
    """Return the special tokens that have a name; a token is written as text or as `{content: text}`."""
    found = {}
    for name in _NAMED_TOKENS:
        value = config.get(name) if config.get(name) is not None else older.get(name)
        text = value.get("content") if isinstance(value, Mapping) else value
        if isinstance(text, str):
            found[name] = text
    return found


def _declare(tokenizer: Tokenizer, config: Mapping[str, Any], named: Mapping[str, str]) -> None:
    """Tell the tokenizer of special tokens that only the configuration knows."""
    from tokenizers import AddedToken

    known = tokenizer.get_added_tokens_decoder()
    declared = config.get("added_tokens_decoder")
    for index, entry in sorted(
        (declared if isinstance(declared, Mapping) else {}).items(), key=lambda item: int(item[0])
    ):
        if int(index) not in known:
            flags = {
                key: bool(entry.get(key, False)) for key in ("single_word", "lstrip", "rstrip", "normalized", "special")
            }
            tokenizer.add_tokens([AddedToken(entry["content"], **flags)])
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    texts = [*named.values(), *(extra.values() if isinstance(extra, Mapping) else extra)]
    contents = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    missing = [text for text in texts if isinstance(text, str) and text not in contents]
    tokenizer.add_special_tokens(list(dict.fromkeys(missing)))


def _opening(tokenizer: Tokenizer) -> list[int]:
    """Return the special tokens that the tokenizer itself puts before a text."""
    plain, whole = tokenizer.encode("a", add_special_tokens=False).ids, tokenizer.encode("a").ids
    for start in range(len(whole) - len(plain) + 1):
        if plain and whole[start : start + len(plain)] == plain:
            return list(whole[:start])
    return []


def _token_id(tokenizer: Tokenizer, named: Mapping[str, str], name: str) -> int:
    text = named.get(name)
    index = None if text is None else tokenizer.token_to_id(text)
    if index is None:
        raise ValueError(f"the tokenizer names no {name}, so the model could not learn where an answer ends")
    return int(index)


def _templates(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Return the folder's templates by name; a file wins over the configuration."""
    file, others = folder / "chat_template.jinja", folder / "additional_chat_templates"
    if file.is_file():
        named = sorted(others.glob("*.jinja")) if others.is_dir() else []
        return {"default": file.read_text(encoding="utf-8")} | {
            path.stem: path.read_text(encoding="utf-8") for path in named
        }
    written = config.get("chat_template")
    if isinstance(written, str):
        return {"default": written}
    if isinstance(written, list):
        return {entry["name"]: entry["template"] for entry in written}
    of_processor = processor_template(folder)
    return {"default": of_processor} if of_processor else {}


def processor_template(folder: Path) -> str:
    """Return the chat template that a processor keeps in a file of its own, as older ones do; empty for none."""
    written = _json(folder / "chat_template.json").get("chat_template")
    return written if isinstance(written, str) else ""
