"""The agent template of a run: tools, calls and results of a row become plain turns of the conversation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from swift_core.assemble.broken_part import cause
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from pathlib import Path

    from swift_core.contracts.agent_template import AgentTemplate
    from swift_core.contracts.data import Message, Record
    from swift_core.contracts.handover import PartPlan, RunPlan

_ANSWERS = ("completion", "chosen", "rejected", "reference")
_KNOWN = ("role", "content", "tool_calls", "loss", "weight")


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent template with its place in the run file."""

    plan: RunPlan
    part: PartPlan
    template: AgentTemplate

    def written(self, record: Record) -> Record:
        """Return `record` with its tools in the system message, and calls and results as text.

        Raises:
            ValueError: The template cannot write what the row has.
            SwiftError: The plugin is broken.
        """
        answers = {name: value for name in _ANSWERS if (value := getattr(record, name)) is not None}
        if isinstance(record.prompt, str) or any(isinstance(value, str) for value in answers.values()):
            if record.tools:
                raise ValueError("tools are offered in a system message, and the row's prompt is plain text")
            return record
        if record.prompt is None:
            return record
        head = self._head(record.prompt, record.tools)
        if not answers:
            turns, _ = self._turns(head, len(head))
            return replace(record, prompt=_left_open(turns), tools=())
        changed: dict[str, Any] = {}
        for name, value in answers.items():
            turns, first = self._turns([*head, *value], len(head))
            changed |= {name: turns[first:], "prompt": turns[:first]}
        return replace(record, tools=(), **changed)

    def _head(self, prompt: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> list[Message]:
        """Return the prompt with the tools in its system message."""
        if not tools:
            return list(prompt)
        for tool in tools:
            if not isinstance(tool.get("function", tool).get("name"), str):
                raise ValueError(f"a tool has no name: {str(tool)[:60]}")
        has_system = bool(prompt) and prompt[0]["role"] in ("system", "developer")
        said = prompt[0]["content"] if has_system else ""
        system = self._called("format_tools", lambda: self.template.format_tools(tools, said))
        turn = prompt[0] if has_system else {"role": "system"}
        first = cast("Message", {**turn, "content": system, "of_tools": True})
        return [first, *prompt[has_system:]]

    def _turns(self, turns: Sequence[Message], first: int) -> tuple[list[Message], int]:
        """Return plain turns, and which of them is the first with something from turn `first` on."""
        joins = self.template.results_role == "assistant"
        made: list[_Turn] = []
        results: list[Message] = []
        for index, turn in enumerate([*turns, None]):
            if turn is not None and turn["role"] == "tool":
                results.append(turn)
                continue
            if results:
                self._add_results(made, results, index - len(results))
                results = []
            if turn is None:
                break
            calls = turn.get("tool_calls") or []
            text = self._with_calls(turn["content"], calls) if calls else turn["content"]
            if joins and made and made[-1].is_open and turn["role"] == "assistant":
                made[-1].join(turn, text, index)
            else:
                made.append(_Turn(turn, [_Piece(text, index, own=turn.get("loss", True))]))
        border = next((place for place, each in enumerate(made) if each.last >= first), len(made))
        return [each.message(first if place == border else -1) for place, each in enumerate(made)], border

    def _add_results(self, made: list[_Turn], results: Sequence[Message], index: int) -> None:
        contents = [result["content"] for result in results]
        text = self._called("format_results", lambda: self.template.format_results(contents))
        if self.template.results_role != "assistant":
            turn: dict[str, Any] = {"role": self.template.results_role, "content": text, "of_tools": True}
            losses = [result["loss"] for result in results if "loss" in result]
            made.append(_Turn(cast("Message", turn | ({"loss": losses[0]} if losses else {})), [_Piece(text, index)]))
            return
        if not made or made[-1].message_role != "assistant":
            raise ValueError(
                f"turn {index + 1} is what a tool answered, and no assistant's turn stands before it to hold it"
            )
        made[-1].pieces.append(_Piece(text, index, own=False, is_result=True))

    def _with_calls(self, said: str, calls: Sequence[Mapping[str, Any]]) -> str:
        """Return what an assistant says with its calls below it; they must be read back as they were."""
        plain = [_plain_call(call) for call in calls]
        text = self._called("format_calls", lambda: self.template.format_calls(plain))
        read = self._called("parse_calls", lambda: self.template.parse_calls(text), Sequence)
        if [dict(call) for call in read] != plain:
            raise ValueError(f"it does not read back the call of {plain[0]['name']!r} as it is")
        return f"{said}\n{text}" if said.strip() else text

    def _called(self, method: str, call: Callable[[], Any], returns: type = str) -> Any:
        try:
            value = call()
        except (ValueError, SwiftError):  # the template cannot write what the row has
            raise
        except Exception as error:  # whatever a stranger's code raises is told with its place
            raise self._failed(f"{method} raised {cause(self.part, error)}") from error
        if not isinstance(value, returns) or (returns is not str and isinstance(value, str)):
            raise self._failed(f"{method} must return {_RETURNS[returns]}, got {type(value).__name__}")
        return value

    def _failed(self, what: str) -> SwiftError:
        plugin = self.part.plugin
        message = f"{plugin.in_full}: {what}"
        place = self.plan.config.place(self.part.key)
        return SwiftError(Problem("agent-template-failed", message, place, plugin.info_command))


_RETURNS: dict[type, str] = {str: "text", Sequence: "a list of calls"}


@dataclass(frozen=True, slots=True)
class _Piece:
    """Part of a turn's text."""

    text: str
    index: int
    """Of the turn it was, before turns were joined."""

    own: bool = True
    """Whether the turn may train it."""

    is_result: bool = False


@dataclass(slots=True)
class _Turn:
    """A turn that is being written: one of the row, or several joined."""

    turn: Message
    pieces: list[_Piece] = field(default_factory=list)

    @property
    def message_role(self) -> str:
        return self.turn["role"]

    @property
    def is_open(self) -> bool:
        """Whether it ends in a tool's result, so that the assistant goes on in it."""
        return self.pieces[-1].is_result

    @property
    def last(self) -> int:
        """The last turn of the row that is in it."""
        return self.pieces[-1].index

    def join(self, turn: Message, text: str, index: int) -> None:
        """Go on with what the assistant says next."""
        extra = [key for key in turn if key not in _KNOWN]
        if extra or turn.get("weight", 1.0) != self.turn.get("weight", 1.0):
            what = f"has {extra[0]}" if extra else "has another weight than the turn that called"
            raise ValueError(f"turn {index + 1} {what}, and the agent template writes both turns as one")
        gap = "" if self.pieces[-1].text[-1:].isspace() else " "
        self.pieces.append(_Piece(gap + text, index, own=turn.get("loss", True)))

    def message(self, first: int) -> Message:
        """Return the turn; what it has of turns of the row before `first` is read only."""
        made = {key: value for key, value in self.turn.items() if key != "tool_calls"}
        made["content"] = "".join(piece.text for piece in self.pieces)
        trains = [piece.own and piece.index >= first for piece in self.pieces]
        if len(self.pieces) == 1:
            return cast("Message", made)
        made.pop("loss", None)
        read, position = [], 0
        for piece, is_trained in zip(self.pieces, trains, strict=True):
            if not is_trained:
                read.append([position, position + len(piece.text)])
            position += len(piece.text)
        silent = not any(piece.own for piece in self.pieces)
        return cast("Message", made | ({"loss": False} if silent else {"read": read}))


def _left_open(turns: list[Message]) -> list[Message]:
    """Return a prompt; one that ends in a tool's result inside an answer is gone on with there."""
    if turns and turns[-1].get("read") and turns[-1]["read"][-1][1] == len(turns[-1]["content"]):
        return [*turns[:-1], cast("Message", {**turns[-1], "goes_on": True})]
    return turns


def _plain_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function", call)
    arguments = function.get("arguments")
    if not isinstance(arguments, Mapping):
        raise ValueError(f"the call of {function['name']!r} must have arguments that are an object, got {arguments!r}")
    return {"name": function["name"], "arguments": dict(arguments)}


def agent_of(plan: RunPlan) -> Agent | None:
    """Return the agent template of `plan`, built; None when the run file names none."""
    return Agent(plan, plan.agent_template, plan.create(plan.agent_template)) if plan.agent_template else None


def open_template(name: str, base: Path) -> AgentTemplate:
    """Return the agent template that `name` means, with its defaults; ValueError when it cannot be had."""
    from swift_core.plugins.options import build
    from swift_core.plugins.registry import installed

    registry = installed()
    try:
        made: Any = build(registry.load(registry.resolve("agent_template", name, base)), {})
    except SwiftError as error:
        raise ValueError(" ".join(problem.message.rstrip(".") for problem in error.problems)) from error
    return cast("AgentTemplate", made)


def uses_tools(record: Record) -> bool:
    """Say whether a row as read has tools, calls or what a tool answered."""
    parts = [record.prompt, *(getattr(record, name) for name in _ANSWERS)]
    turns = [turn for part in parts if part is not None and not isinstance(part, str) for turn in part]
    return bool(record.tools) or any(turn.get("tool_calls") or turn["role"] == "tool" for turn in turns)
