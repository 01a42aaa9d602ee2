"""A Python interpreter as the model's tool: it writes a program, and reads what it prints.

A program is the last block of the turn that is fenced as `python`, or the last `<tool_call>` of a tool named `python`
with a program in `code`, as Hermes and Qwen models write it. A turn without one ends the conversation.
"""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from swift_core.contracts.checks import require_positive
from swift_core.sandbox.program import run_python

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.data import Message
    from swift_core.contracts.multi_turn import Conversation

_FENCED = re.compile(r"^```(?:python|py)[ \t]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonTool:
    """Runs the program of a turn in the sandbox, and answers with what it prints."""

    calls: Literal["fence", "tool_call"] = "fence"
    """How programs are written: fenced as `python`, or as calls of the tool `python`."""

    role: Literal["user", "tool"] = "user"
    """Role of the answer; not every chat template knows `tool`."""

    timeout: float = 5.0
    """Seconds that a program may take, > 0."""

    memory: float = 0.5
    """GiB of address space that it may have, > 0."""

    packages: bool = False
    """Whether it may import what is installed, or the standard library alone."""

    max_characters: int = 2000
    """How much of what it prints the model is shown, >= 1: the first half and the last."""

    def __post_init__(self) -> None:
        require_positive(timeout=self.timeout, memory=self.memory, max_characters=self.max_characters)

    def __call__(self, conversations: Sequence[Conversation], /) -> list[list[Message] | None]:
        """Return what each conversation's program printed, None where there is no program.

        Raises:
            SandboxUnavailableError: Programs cannot be confined on this machine.
        """
        programs = [self._program(conversation.response) for conversation in conversations]
        with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
            said = threads.map(lambda program: None if program is None else self._answer(program), programs)
            return [None if text is None else [{"role": self.role, "content": text}] for text in said]

    def _program(self, response: str) -> str | ValueError | None:
        """Return the last program of a turn; an error for a call that cannot be read."""
        found = (_FENCED if self.calls == "fence" else _CALL).findall(response)
        if not found:
            return None
        return found[-1] if self.calls == "fence" else _called(found[-1])

    def _answer(self, program: str | ValueError) -> str:
        if isinstance(program, ValueError):
            return f"error: {program}"
        result = run_python(program, timeout=self.timeout, memory=int(self.memory * 2**30), packages=self.packages)
        if result.status == "ok":
            return self._cut(result.stdout) or "(nothing was printed)"
        last = result.stderr.strip().splitlines()[-1:] or [f"exit code {result.exit_code}"]
        why = last[0] if result.status == "crash" else f"{result.status} after {result.seconds:.1f} s"
        return self._cut(f"{result.stdout}error: {why}")

    def _cut(self, text: str) -> str:
        text = text.rstrip()
        half = max(1, self.max_characters // 2)
        return text if len(text) <= self.max_characters else f"{text[:half]}\n[...]\n{text[-half:]}"


def _called(text: str) -> str | ValueError:
    """Return the program of a call, or what is wrong with the call."""
    try:
        call: Any = json.loads(text)
    except ValueError as error:
        return ValueError(f"the call is no JSON: {error}")
    name = call.get("name") if isinstance(call, dict) else None
    if name != "python":
        return ValueError(f"there is no tool {name!r}, only 'python'")
    arguments = call.get("arguments")
    code = arguments.get("code") if isinstance(arguments, dict) else None
    return code if isinstance(code, str) else ValueError("the tool 'python' takes a text `code`")
