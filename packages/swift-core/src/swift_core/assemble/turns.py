"""Drawing answers, in one turn or in several with what a plugin puts between them.

The tokens that the model drew stay as they are. What stands between two of its turns is written by the chat template,
from the end of one turn to the start of the next, and is not trained; so log-probabilities are those of the very
tokens that the model saw and drew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from swift_core.assemble.broken_part import failure
from swift_core.contracts.engine import Rollout, SamplingParams
from swift_core.contracts.multi_turn import Conversation
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from swift_core.contracts.data import Message, PromptRow, TextEncoder
    from swift_core.contracts.handover import RunPlan


def hash_seed(*numbers: int) -> int:
    """Return one seed for all `numbers`, the same on every machine."""
    seed = 0
    for number in numbers:
        seed = (seed * 6364136223846793005 + number * 2 + 1442695040888963407) % 2**63
    return seed


def draw(
    engine: Any, turns: Turns | None, encoder: TextEncoder, rows: Sequence[PromptRow], params: SamplingParams
) -> list[list[Rollout]]:
    """Return `params.num_answers` answers to each row, `params.max_tokens` long at most with all their turns."""
    drawn = engine.generate([row["prompt_ids"] for row in rows], params)
    if turns is None:
        return [list(group) for group in drawn]
    talks = [
        _Talk(row, encoder, params, params.seed_of(place, number))
        for place, (row, group) in enumerate(zip(rows, drawn, strict=True))
        for number in range(len(group))
    ]
    for talk, rollout in zip(talks, (rollout for group in drawn for rollout in group), strict=True):
        talk.add(rollout)
    for number in range(1, turns.max_turns):
        live = turns.go_on([talk for talk in talks if talk.is_open], number)
        if not live:
            break
        asked = replace(
            params,
            num_answers=1,
            max_tokens=max(talk.room for talk in live),
            seed=hash_seed(params.seed, number),
            seeds=tuple(hash_seed(talk.seed, number) for talk in live),
        )
        again = engine.generate([talk.tokens for talk in live], asked)
        for talk, (rollout,) in zip(live, again, strict=True):
            talk.add(rollout)
    made = iter([talk.rollout() for talk in talks])
    return [[next(made) for _ in group] for group in drawn]


@dataclass(frozen=True, slots=True)
class Turns:
    """The plugin that stands between turns, and how many the model has."""

    plan: RunPlan
    plugin: Any
    max_turns: int

    def go_on(self, talks: Sequence[_Talk], number: int) -> list[_Talk]:
        """Put what the plugin says after turn `number` into the conversations; return those in which the model goes on.

        Raises:
            SwiftError: The plugin failed, or returned something else than turns.
        """
        if not talks:
            return []
        try:
            replies = list(self.plugin([talk.shown(number) for talk in talks]))
            if len(replies) != len(talks):
                raise ValueError(f"it returned {len(replies)} replies for {len(talks)} conversations")
            for talk, reply in zip(talks, replies, strict=True):
                talk.answer(None if reply is None else _checked(reply))
        except SwiftError:
            raise
        except Exception as error:  # whatever a stranger's code raises
            raise self._failure(error) from error
        return [talk for talk in talks if talk.is_open]

    def _failure(self, error: Exception) -> SwiftError:
        assert self.plan.multi_turn is not None  # there would be no plugin
        return failure(self.plan, self.plan.multi_turn, error, own_files=(__file__,))


def build_turns(plan: RunPlan) -> Turns | None:
    """Return the plugin between turns; None where the model has one turn."""
    if plan.multi_turn is None:
        return None
    return Turns(plan, plan.create(plan.multi_turn), plan.settings.rollout.max_turns)


def check_conversations(plan: RunPlan, rows: Iterable[Any]) -> None:
    """Raise SwiftError, before a model is loaded, when turns are to follow a prompt that is plain text.

    Args:
        plan: The run.
        rows: Encoded rows of prompts, or records.
    """
    if plan.multi_turn is None:
        return
    prompts = [row["prompt"] if isinstance(row, dict) else row.prompt for row in rows]
    plain = sum(isinstance(prompt, str) for prompt in prompts)
    if plain:
        message = f"rollout.multi_turn goes on with conversations, and {plain} prompts of the data are plain text."
        next_step = 'write the rows as conversations: {"messages": [{"role": "user", "content": ...}]}'
        raise SwiftError(Problem("plain-prompts", message, plan.config.place("rollout.multi_turn"), next_step))


class _Talk:
    """One answer while it is drawn."""

    def __init__(self, row: PromptRow, encoder: TextEncoder, params: SamplingParams, seed: int) -> None:
        self._row, self._encoder, self._params = row, encoder, params
        self.seed = seed
        self._messages: list[dict[str, Any]] = []
        self._ids: list[int] = []
        self._trained: list[bool] = []
        self._logps: list[float] | None = []
        self.is_open, self._finished = True, False

    @property
    def tokens(self) -> list[int]:
        """The prompt and all that was said since."""
        return [*self._row["prompt_ids"], *self._ids]

    @property
    def room(self) -> int:
        """How many tokens are left."""
        return self._params.max_tokens - len(self._ids)

    def add(self, rollout: Rollout) -> None:
        """Add a turn of the model; one that leaves no room, or was cut, is the last."""
        ids = list(rollout.answer_ids)[: self.room]
        self._finished = rollout.finished and len(ids) == len(rollout.answer_ids)
        self.is_open = self._finished
        logps = None if rollout.logps is None else list(rollout.logps)[: len(ids)]
        self._extend(ids, trained=True, logps=logps)
        spoken = ids[:-1] if ids and ids[-1] in self._params.stop_token_ids else ids
        self._messages.append({"role": "assistant", "content": self._encoder.decode(spoken)})

    def shown(self, number: int) -> Conversation:
        """Return the conversation as the plugin is shown it."""
        return Conversation(
            messages=[*self._prompt(), *(dict(turn) for turn in self._messages)],
            response=self._messages[-1]["content"],
            turn=number,
            ground_truth=self._row["ground_truth"],
            columns=self._row["columns"],
        )

    def answer(self, turns: Sequence[Message] | None) -> None:
        """Put `turns` after the model's, as the chat template writes them; None ends the conversation."""
        if turns is None:
            self.is_open = False
            return
        tamed = [{**turn, "content": tamed_text(str(turn["content"]), self._encoder)} for turn in turns]
        ids = self._encoder.encode(between(self._encoder, [*self._prompt(), *self._messages], tamed))
        if ids and self._ids and ids[0] == self._ids[-1] and self._ids[-1] in self._params.stop_token_ids:
            ids = ids[1:]  # the model has ended its turn with it
        if len(ids) >= self.room:
            self.is_open = self._finished = False
            return
        self._messages += tamed
        self._extend(ids, trained=False, logps=[0.0] * len(ids))

    def rollout(self) -> Rollout:
        """Return the answer."""
        return Rollout(
            self._row["prompt_ids"], self._ids, self._finished, self._logps, self._trained, tuple(self._messages)
        )

    def _prompt(self) -> list[dict[str, Any]]:
        prompt: Any = self._row["prompt"]
        return [dict(turn) for turn in prompt]

    def _extend(self, ids: list[int], *, trained: bool, logps: list[float] | None) -> None:
        self._ids += ids
        self._trained += [trained] * len(ids)
        self._logps = None if self._logps is None or logps is None else [*self._logps, *logps]


def between(encoder: TextEncoder, messages: Sequence[Any], turns: Sequence[Any]) -> str:
    """Return what the chat template writes from the end of the last message, the model's, to its next turn.

    Raises:
        ValueError: The template leaves the model's turn out, or refuses the turns.
    """
    said = "".join(str(message.get("content", "")) for message in (*messages, *turns))
    probe = next(word for number in range(len(said) + 2) if (word := f"turn{number}end") not in said)
    spoken: list[Any] = [*messages[:-1], {**messages[-1], "content": probe}, *turns]
    _, found, after = encoder.render(spoken, add_generation_prompt=True).rpartition(probe)
    if not found:
        raise ValueError("the chat template leaves earlier turns of the model out")
    return after


def tamed_text(text: str, encoder: TextEncoder) -> str:
    """Return `text` with a space inside every special token of the tokenizer: what a tool prints starts no turn."""
    for token in sorted(encoder.special_tokens, key=len, reverse=True):
        if len(token) > 1:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def _checked(reply: Any) -> list[Any]:
    """Return the turns of a reply; raise ValueError when they are no turns of others."""
    turns = list(reply)
    if not turns or not all(isinstance(turn, dict) and {"role", "content"} <= set(turn) for turn in turns):
        raise ValueError(f"a reply is a list of turns with role and content, or None to end, got {reply!r}")
    if any(turn["role"] == "assistant" for turn in turns):
        raise ValueError("a reply has turns of any role but assistant, which the model itself writes")
    return turns
