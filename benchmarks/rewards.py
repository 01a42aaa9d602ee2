"""How many answers a second the rewards score, on one core, what hung ones cost, and what importing them costs.

    python benchmarks/rewards.py [--seconds 0.3] [--timeout 2] [--data FOLDER] [--json FILE]

The first table has the rewards without computer algebra: the answers are ordinary prose with tags, numbers and an
action, the figure is the best of three rounds, and the last column is the time of 1 MB divided by 512 times that of
2 KB: 1 is linear, and more than a few would not be. Then `math`: short numbers, which need no algebra; GSM8K's
answers, and expressions, through what its workers do; 600 answers of which 3 hang. With --data, gsm8k_train.jsonl gives
the numbers and gsm8k_pairs_train.jsonl real solutions, right and wrong: how many `math` and `final_number` judge as
the people did who labelled them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from swift_core.plugin_api import InferRequest, WorkerPool
from swift_reward_zoo.answer import _symbolic, _symbolic_child
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

BUDGETS = {"boxed number": 100_000, "worker, GSM8K answers": 400}
"""The same for `math`."""

HANGS, RESTART_SECONDS = r"\boxed{((x+1)^{999})^{999}}", 0.2
IMPORT_MS = 50

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
    parser.add_argument("--timeout", type=float, default=2.0, help="seconds that a comparison may take, in the batches")
    parser.add_argument("--data", type=Path, help="a folder with the GSM8K files")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    figures = {name: measured(name, options.seconds) for name in (*REWARDS, "split_steps")}
    print(f"{'reward':22}{'2 KB, items/s':>15}{'1 MB, items/s':>15}{'growth':>8}")
    for name, (small, large) in figures.items():
        print(f"{name:22}{small:15,.0f}{large:15,.1f}{small / large / 512:8.2f}")
    missed = [name for name, (small, _) in figures.items() if small < BUDGET]
    numbers = read_numbers(options.data)
    rates = math_rates(numbers, options.seconds)
    missed += [name for name, least in BUDGETS.items() if rates[name] < least]
    batches = [hung_batch(numbers, num_workers, options.timeout) for num_workers in (1, 2, 4)]
    missed += [f"{row['workers']} workers" for row in batches if row["seconds"] > row["budget"] or not row["right"]]
    milliseconds = import_ms()
    missed += ["import"] if milliseconds > IMPORT_MS else []
    agreement = labels_agreed(options.data) if options.data else {}
    if options.json:
        told = {"rewards": figures, "math": rates, "hung": batches, "import_ms": milliseconds, "labels": agreement}
        options.json.write_text(json.dumps(told, indent=2) + "\n")
    print(f"\nover budget: {', '.join(missed) or 'none'}")
    return int(bool(missed))


def read_numbers(data: Path | None) -> list[str]:
    """Return the answers of GSM8K, else numbers like them."""
    if data is None:
        return [f"{number:,}" for number in (*range(600), *range(1000, 90_000, 97))]
    rows = [json.loads(line) for line in (data / "gsm8k_train.jsonl").read_text().splitlines()]
    return [row["answer"].rpartition("####")[2].strip() for row in rows]


def math_rates(numbers: list[str], seconds: float) -> dict[str, float]:
    """Return answers a second of processor time: without algebra, and of what a worker does."""
    answer = _symbolic_child.make(None)
    boxed = [InferRequest(messages=[], response=rf"\boxed{{{number}}}") for number in numbers]
    said = [InferRequest(messages=[], response=f"So the answer is {number}.") for number in numbers]
    asked = [{"expected": number, "given": number} for number in dict.fromkeys(numbers)]
    algebra = [{"expected": rf"\sqrt{{{n}}} + {n}x", "given": rf"{n}x + \sqrt{{{n}}}"} for n in range(2, 52)]
    works: dict[str, tuple[Callable[[], object], int]] = {
        "boxed number": (lambda: Math()(boxed, numbers), len(boxed)),
        "the answer is": (lambda: Math()(said, numbers), len(said)),
        "worker, GSM8K answers": (lambda: list(map(answer, asked)), len(asked)),
        "worker, expressions": (lambda: list(map(answer, algebra)), len(algebra)),
    }
    found = {name: rate(work, count, seconds) for name, (work, count) in works.items()}
    print("\nmath, items/s: " + ", ".join(f"{name} {value:,.0f}" for name, value in found.items()))
    return found


def hung_batch(numbers: list[str], num_workers: int, timeout: float) -> dict[str, float | bool]:
    """Score 600 answers, 3 of which hang, with so many workers; in seconds of the clock."""
    pool = WorkerPool("swift_reward_zoo.answer._symbolic_child:make", num_workers=num_workers)
    before, _symbolic.POOL = _symbolic.POOL, pool
    truths = [numbers[place % len(numbers)] for place in range(600)]
    truths[100] = truths[300] = truths[500] = "x+1"
    try:
        clean, _ = timed(
            [r"\boxed{1+x}" if truth == "x+1" else rf"\boxed{{{truth}}}" for truth in truths], truths, 60.0
        )
        seconds, scores = timed([HANGS if t == "x+1" else rf"\boxed{{{t}}}" for t in truths], truths, timeout)
    finally:
        _symbolic.POOL = before
        pool.close()
    budget = clean + -(-3 // num_workers) * (timeout + RESTART_SECONDS)
    right = scores == [None if truth == "x+1" else 1.0 for truth in truths]
    print(
        f"600 answers, 3 hang, {num_workers} workers: {seconds:.2f} s of {budget:.2f} s, the other 597 right: {right}"
    )
    return {"workers": num_workers, "seconds": seconds, "budget": budget, "right": right}


def timed(responses: list[str], truths: list[str], timeout: float) -> tuple[float, list[float | None]]:
    """Return the seconds a batch takes once workers run, and its scores."""
    Math()([InferRequest(messages=[], response=r"\boxed{2+y}")] * 4, ["y+2"] * 4)
    requests = [InferRequest(messages=[], response=response) for response in responses]
    start = time.monotonic()
    scores = Math(timeout=timeout)(requests, truths)
    return time.monotonic() - start, scores


def import_ms() -> float:
    """Return the milliseconds that importing the package adds to the start of Python, at best of five."""
    code = "import sys, time; t = time.process_time(); import swift_reward_zoo; t = time.process_time() - t\n"
    code += "assert not {'sympy', 'torch'} & set(sys.modules); print(t * 1000)"
    runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True) for _ in range(5)]
    found = min(float(done.stdout) for done in runs)
    print(f"import swift_reward_zoo: {found:.1f} ms, without sympy and torch")
    return found


def labels_agreed(data: Path) -> dict[str, float]:
    """Return the share of real solutions that a reward judges as their label does."""
    lines = (data / "gsm8k_pairs_train.jsonl").read_text().splitlines()
    pairs = [json.loads(line) for line in lines + (data / "gsm8k_pairs_test.jsonl").read_text().splitlines()]
    truths = [pair["chosen"].rpartition("A:")[2].strip() for pair in pairs]
    found: dict[str, float] = {}
    for name, reward in {"math": Math(), "final_number": FinalNumber()}.items():
        right, wrong = (
            reward([InferRequest(messages=[], response=pair[side]) for pair in pairs], truths)
            for side in ("chosen", "rejected")
        )
        found[name] = (right.count(1.0) + wrong.count(0.0)) / (2 * len(pairs))
        print(f"{name}: {right.count(1.0)} of {len(pairs)} right solutions score 1, {wrong.count(0.0)} wrong ones 0")
    return found


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
