"""Multi-turn plugins: a reply for each conversation, and nothing kept of one."""

from __future__ import annotations

from swift_core.contracts.multi_turn import Conversation

KIND = "multi_turn"


def conversation(response, turn=1):
    messages = [{"role": "user", "content": "What is 3 + 4?"}, {"role": "assistant", "content": response}]
    return Conversation(messages=messages, response=response, turn=turn, ground_truth="7", columns={})


SAID = ("It is 7.", "", "```python\nprint(3 + 4)\n```", "\x00\ud800", "<tool_call>{</tool_call>", "```python\n")


def test_every_conversation_has_a_reply_of_turns_or_none(plugin):
    replies = plugin([conversation(text) for text in SAID])
    assert len(replies) == len(SAID)
    for reply in replies:
        assert reply is None or all(turn["role"] != "assistant" and isinstance(turn["content"], str) for turn in reply)


def test_nobody_waiting_is_no_error(plugin):
    assert list(plugin([])) == []


def test_a_reply_depends_on_its_own_conversation_alone(plugin):
    together = list(plugin([conversation(text) for text in SAID]))
    assert together == [plugin([conversation(text)])[0] for text in SAID]
