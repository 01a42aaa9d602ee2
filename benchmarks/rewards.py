"""How many answers a second the rewards without computer algebra score, on one core, at 2 KB and at 1 MB.

    python benchmarks/rewards.py [--seconds 0.3] [--json FILE]

The answers are ordinary prose with tags, numbers and an action; the figure is the best of three rounds. The last column
is the time of 1 MB divided by 512 times that of 2 KB: 1 is linear, and more than a few would not be.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.answer.choice import Choice
from swift_reward_zoo.answer.countdown import Countdown
from swift_reward_zoo.answer.exact_match import ExactMatch
from swift_reward_zoo.answer.f1 import F1
from swift_reward_zoo.answer.final_number import FinalNumber
from swift_reward_zoo.answer.json_equal import JsonEqual
from swift_reward_zoo.answer.math import Math
from swift_reward_zoo.answer.toolbench import ToolBench
from swift_reward_zoo.answer.toolcall import ToolCall
from swift_reward_zoo.form.format import Format
from swift_reward_zoo.form.language_consistency import LanguageConsistency
from swift_reward_zoo.form.length import Length
from swift_reward_zoo.form.react_format import ReActFormat
from swift_reward_zoo.form.repetition import Repetition
from swift_reward_zoo.form.tag_count import TagCount
from swift_reward_zoo.steps import split_steps

BATCH = 32
BUDGET = 10_000
"""Answers a second at 2 KB that a reward of regular expressions has to reach."""

PROSE = "First she sells 48 clips, and in May half as many: 48 / 2 = 24. Together that is 72 of them, I think.\n"
ACTION = '\nAction: search\nAction Input: {"query": "clips", "limit": 3}'
CALL = '<tool_call>{"name": "search", "arguments": {"query": "clips"}}</tool_call>'
REWARDS = {
    "math": (Math(), "{} The answer is 72.", {"ground_truths": "72"}),
    "final_number": (FinalNumber(), "{} The answer is 72.", {"ground_truths": "72"}),
    "choice": (Choice(), "{} The answer is (B).", {"ground_truths": "B"}),
    "exact_match": (ExactMatch(), "{}", {"ground_truths": "72"}),
    "f1": (F1(), "{}", {"ground_truths": "72 of them"}),
    "json_equal": (JsonEqual(), '{} {{"clips": 72}}', {"ground_truths": '{"clips": 72}'}),
    "toolcall": (ToolCall(), "{}" + CALL.replace("{", "{{").replace("}", "}}"), {"ground_truths": CALL}),
    "toolbench": (ToolBench(), "{}" + ACTION.replace("{", "{{").replace("}", "}}"), {"ground_truths": ACTION}),
    "countdown": (Countdown(), "{}<answer>48 + 24</answer>", {"target": 72, "nums": [24, 48]}),
    "format": (Format(), "<think>{}</think><answer>72</answer>", {}),
    "react_format": (ReActFormat(), "<think>{}</think>" + ACTION.replace("{", "{{").replace("}", "}}"), {}),
    "tag_count": (TagCount(), "<think>{}</think><answer>72</answer>", {}),
    "length": (Length(max_length=4000), "{}", {}),
    "repetition": (Repetition(), "{}", {}),
    "language_consistency": (LanguageConsistency(), "{}", {}),
}


def main() -> int:
    """Measure, print the table, return 1 when a budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.3, help="how long a round takes")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    figures = {name: measured(name, options.seconds) for name in (*REWARDS, "split_steps")}
    print(f"{'reward':22}{'2 KB, items/s':>15}{'1 MB, items/s':>15}{'growth':>8}")
    for name, (small, large) in figures.items():
        print(f"{name:22}{small:15,.0f}{large:15,.1f}{small / large / 512:8.2f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    missed = [name for name, (small, _) in figures.items() if small < BUDGET]
    print(f"below {BUDGET:,} items/s at 2 KB: {', '.join(missed) or 'none'}")
    return int(bool(missed))


def measured(name: str, seconds: float) -> tuple[float, float]:
    """Return items a second at 2 KB and at 1 MB."""
    small, large = (PROSE * (size // len(PROSE)) for size in (2 * 1024, 1024 * 1024))
    return rate(job(name, small, BATCH), BATCH, seconds), rate(job(name, large, 1), 1, seconds)


def job(name: str, prose: str, count: int) -> Callable[[], object]:
    """Return what is to be timed: one batch of `count` answers."""
    if name == "split_steps":
        return lambda: [split_steps(prose) for _ in range(count)]
    reward, template, columns = REWARDS[name]
    requests = [InferRequest(messages=[], response=template.format(prose))] * count
    given = {column: [value] * count for column, value in columns.items()}
    return lambda: reward(requests, **given)


def rate(work: Callable[[], object], count: int, seconds: float) -> float:
    """Return the best of three rounds, in items a second of processor time."""
    best = 0.0
    for _ in range(3):
        rounds, start = 0, time.process_time()
        while (spent := time.process_time() - start) < seconds / 3 or not rounds:
            work()
            rounds += 1
        best = max(best, rounds * count / spent) if spent else best
    return best


if __name__ == "__main__":
    raise SystemExit(main())
