"""What the formats share: turns of a conversation, tools, and the answer a reward checks against.

Every function raises ValueError with what is wrong in the row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from swift_core.contracts.data import Message, Record
from swift_core.contracts.image_values import IMAGE_COLUMNS, IMAGE_KEYS, image_of
from swift_core.contracts.images import MARK, ImageRef

ROLES = ("system", "developer", "user", "assistant", "tool")
CONVERSATION_KEYS = ("messages", "conversations")
TRUTH_COLUMNS = ("ground_truth", "solution", "answer")
ANSWER_MARK = "####"
"""GSM8K writes the final answer after this mark."""


def has(row: Mapping[str, Any], *names: str) -> bool:
    """Say whether `row` has a value in every one of these columns."""
    return all(row.get(name) is not None for name in names)


def lacks(row: Mapping[str, Any], *names: str) -> bool:
    """Say whether `row` has a value in none of these columns."""
    return all(row.get(name) is None for name in names)


OTHER_ANSWERS = (
    *CONVERSATION_KEYS,
    *("completion", "chosen", "rejected", "rejected_response", "rejected_messages"),
    *("instruction", "completions", "steps"),
)
"""Columns of rows that say otherwise what is learned: formats of images do not claim them."""


def has_image(row: Mapping[str, Any]) -> bool:
    """Say whether `row` has an image in one of its columns."""
    return any(row.get(name) not in (None, "", [], ()) for name in IMAGE_COLUMNS)


def is_captioned(row: Mapping[str, Any]) -> bool:
    """Say whether `row` has a text about an image."""
    return row.get("caption") is not None or row.get("text") is not None


def is_preference(row: Mapping[str, Any]) -> bool:
    """Say whether `row` holds a better and a worse answer."""
    return has(row, "chosen", "rejected") or has(row, "rejected_response") or has(row, "rejected_messages")


def looks_like_turns(value: Any, key: str = "role") -> bool:
    """Say whether `value` is a list of turns that name their speaker under `key`, as a list or as JSON text."""
    turns = _parsed(value)
    return isinstance(turns, list) and bool(turns) and all(isinstance(turn, Mapping) and key in turn for turn in turns)


def messages(value: Any, column: str) -> list[Message]:
    """Return OpenAI turns, checked; one turn alone may stand without its list."""
    value = _parsed(value)
    turns = [value] if isinstance(value, Mapping) else value
    if not isinstance(turns, list) or not turns:
        raise ValueError(f"{column} must be a list of turns with role and content, got {_shown(value)}")
    return [_message(turn, f"{column}[{index}]") for index, turn in enumerate(turns)]


def as_turns(value: Any, column: str, role: str) -> list[Message]:
    """Return turns; a plain string becomes one turn of `role`."""
    if isinstance(value, str) and not looks_like_turns(value):
        return [cast("Message", {"role": role, "content": value})]
    return messages(value, column)


def text(row: Mapping[str, Any], column: str) -> str:
    """Return a column that must be a string."""
    value = row.get(column)
    if not isinstance(value, str):
        raise ValueError(f"{column} must be text, got {_shown(value)}")
    return value


def tools(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the tools of a row, a list or JSON text, each as `{type: function, function: ...}`."""
    value = row.get("tools")
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"tools is not valid JSON: {error}") from error
    if not isinstance(value, list) or not all(isinstance(tool, Mapping) for tool in value):
        raise ValueError(f"tools must be a list of tool descriptions, got {_shown(value)}")
    return tuple(tool if "function" in tool else {"type": "function", "function": dict(tool)} for tool in value)


def ground_truth(row: Mapping[str, Any], answer: str = "", columns: Sequence[str] = TRUTH_COLUMNS) -> str | None:
    """Return the expected result: a column that gives it, or what stands after `####` in the answer."""
    for column in columns:
        if (value := row.get(column)) is not None:
            return str(value) if not isinstance(value, str) else value
    _, mark, result = answer.rpartition(ANSWER_MARK)
    return result.strip() if mark else None


def label(row: Mapping[str, Any]) -> bool | None:
    """Return whether the completion is wanted, from `label` or `kto_tag`; None when the row does not say.

    A label of another make is a class: rows of classes read it from the columns.
    """
    value = row.get("label", row.get("kto_tag"))
    if value is None or isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return None


def step_texts(value: Any, column: str) -> list[str]:
    """Return the steps of a solution, at least one."""
    if not isinstance(value, list) or not value or not all(isinstance(step, str) and step for step in value):
        raise ValueError(f"{column} must be a list of steps as text, none of them empty, got {_shown(value)}")
    return value


def conversation(row: Mapping[str, Any], where: str, turns: Sequence[Message]) -> Record:
    """Return a conversation as a prompt of its first turns and a completion from the first trained turn on."""
    first = next((i for i, turn in enumerate(turns) if turn.get("loss", turn["role"] == "assistant")), len(turns))
    return Record(
        where=where,
        prompt=list(turns[:first]),
        completion=list(turns[first:]) or None,
        label=label(row),
        tools=tools(row),
        ground_truth=ground_truth(row, columns=("ground_truth", "solution")),
        columns=dict(row),
    )


def question(row: Mapping[str, Any], where: str, answer: str, truth: str | None) -> Record:
    """Return the record of a row that asks in `question`: its question as prompt and `answer` as completion."""
    turns: list[Message] = [{"role": "user", "content": text(row, "question")}]
    if row.get("system"):
        turns.insert(0, {"role": "system", "content": text(row, "system")})
    return Record(
        where=where,
        prompt=turns,
        completion=[{"role": "assistant", "content": answer}],
        ground_truth=truth,
        columns=dict(row),
    )


def tool_calls(value: Any, column: str) -> list[dict[str, Any]]:
    """Return tool calls as templates read them: arguments as a mapping, not as JSON text."""
    calls = _parsed(value) if isinstance(value, str) else value
    calls = [calls] if isinstance(calls, Mapping) else calls
    if not isinstance(calls, list) or not all(isinstance(call, Mapping) for call in calls):
        raise ValueError(f"{column} must be tool calls with name and arguments, got {_shown(value)}")
    return [_tool_call(call, column) for call in calls]


def _tool_call(call: Mapping[str, Any], column: str) -> dict[str, Any]:
    function = call.get("function", call)
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ValueError(f"{column} must name the function it calls, got {_shown(call)}")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        arguments = _parsed(arguments)
    rest = {key: value for key, value in call.items() if key in ("id", "type")}
    return {"type": "function", **rest, "function": {"name": function["name"], "arguments": arguments}}


def marks(turn: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return a turn's own `loss` and `weight`, checked."""
    given = {key: turn[key] for key in ("loss", "weight") if turn.get(key) is not None}
    if not isinstance(given.get("loss", True), bool):
        raise ValueError(f"{place}.loss must be true or false, got {_shown(given['loss'])}")
    weight = given.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        raise ValueError(f"{place}.weight must be a finite number >= 0, got {_shown(weight)}")
    return given


def _message(turn: Any, place: str) -> Message:
    if not isinstance(turn, Mapping):
        raise ValueError(f"{place} must be a turn with role and content, got {_shown(turn)}")
    role = turn.get("role")
    if role not in ROLES:
        raise ValueError(f"{place}.role must be one of {', '.join(ROLES)}, got {_shown(role)}")
    checked = {key: value for key, value in turn.items() if value is not None}
    marks(checked, place)
    if checked.get("tool_calls"):
        checked["tool_calls"] = tool_calls(checked["tool_calls"], f"{place}.tool_calls")
        checked.setdefault("content", "")
    else:
        checked.pop("tool_calls", None)
    content = checked.get("content")
    own = checked.pop("images", None)
    if own:
        return _with_images(checked, own, place)
    if isinstance(content, list):
        parts = [_part(part, f"{place}.content[{index}]") for index, part in enumerate(content)]
        images = [image for _, found in parts for image in found]
        return cast(
            "Message",
            {**checked, "content": "".join(text for text, _ in parts), **({"images": images} if images else {})},
        )
    if not isinstance(content, str):
        raise ValueError(f"{place}.content must be text, got {_shown(content)}")
    return cast("Message", checked)


def _with_images(turn: Mapping[str, Any], images: Any, place: str) -> Message:
    """Return a turn that has a list of images beside its text; where no mark stands they come first."""
    content = turn.get("content")
    if not isinstance(images, list) or not isinstance(content, str):
        raise ValueError(f"{place}.images must be a list beside a text, got {_shown(images)}")
    found: list[ImageRef | None] = [image_of(each, f"{place}.images[{index}]") for index, each in enumerate(images)]
    num_marks = content.count(MARK)
    if num_marks not in (0, len(found)):
        raise ValueError(f"{place} has {len(found)} images, and its text has {MARK} {num_marks} times")
    return cast("Message", {**turn, "content": content if num_marks else MARK * len(found) + content, "images": found})


def _part(part: Any, place: str) -> tuple[str, list[ImageRef | None]]:
    """Return the text of one part of a content, and its image: None is the next one of the row's columns."""
    if isinstance(part, Mapping):
        kind = part.get("type", "text")
        if kind == "text" and isinstance(part.get("text"), str):
            return part["text"], []
        if kind in ("image", "image_url", "input_image"):
            told = {key: part[key] for key in IMAGE_KEYS if part.get(key)}
            return MARK, [image_of(told, place) if told else None]
        if kind in ("video", "video_url", "audio", "audio_url", "input_audio"):
            raise ValueError(f"{place} is {kind}: name it in the column {_COLUMN_OF[str(kind)]}")
    raise ValueError(f"{place} must have type text with text, or type image, got {_shown(part)}")


_COLUMN_OF = {
    "video": "videos",
    "video_url": "videos",
    "audio": "audios",
    "audio_url": "audios",
    "input_audio": "audios",
}


def _parsed(value: Any) -> Any:
    """Return the content of JSON text (CSV files hold lists so), anything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
