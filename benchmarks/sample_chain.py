"""A small model learns from its own answers: drawn and checked, then SFT on what was kept, then DPO on pairs.

    python benchmarks/sample_chain.py DATA --model gguf:PATH --work FOLDER [--problems 64] [--answers 8] [--rows 100]

DATA holds gsm8k_train.jsonl (question, answer with `#### N`) and gsm8k_pairs_test.jsonl (prompt, chosen, rejected). The
problems are those of the training file with the shortest text. One more of them, with its solution, is shown in every
prompt, in training and before and after alike. Answers are drawn by `swift sample` and checked by the reward `math`;
accuracy is that of greedy answers to the `--rows` shortest held-out problems. Everything runs through the command
`swift`, on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"}
SAMPLE = """
model: {{model_id: "{model}", dtype: bfloat16}}
data: {{dataset: problems.jsonl}}
reward: {{orms: [math]}}
rollout: {{num_generations: {answers}, temperature: 0.5}}
train: {{stage: sft, max_completion_length: {length}}}
"""
TRAIN = """
model: {{model_id: "{model}", dtype: bfloat16}}
data: {{dataset: {data}, val_dataset: held_out_{stage}.jsonl}}
reward: {{orms: [math]}}
output_dir: {stage}
train:
  stage: {stage}
  {options}
  tuner_strategy: lora
  tuner_kwargs: {{lora_rank: 16, lora_alpha: 32}}
  num_train_epochs: {epochs}
  per_device_train_batch_size: 4
  per_device_eval_batch_size: 25
  save_strategy: "no"
  eval_generation_rows: {rows}
  max_completion_length: {length}
  metrics: [orm_accuracy]
"""
SFT = "loss_scale: last_round\n  learning_rate: 5e-4"
DPO = "loss_kwargs: {beta: 0.1}\n  learning_rate: 1e-4"


@dataclass(frozen=True)
class Chain:
    """Where the chain works and how large it is."""

    work: Path
    model: str
    answers: int
    length: int
    rows: int
    epochs: int

    def draw(self, model: str, keep: str, output: str) -> tuple[int, str]:
        """Draw answers with `swift sample`; return how many rows were kept, and what it printed."""
        (self.work / "sample.yaml").write_text(SAMPLE.format(model=model, answers=self.answers, length=self.length))
        told = self.swift("sample", "sample.yaml", "-o", output, "--keep", keep, "--threshold", "1")
        return len((self.work / output).read_text().splitlines()), told

    def train(self, stage: str, model: str, data: str, options: str) -> dict[str, Any]:
        """Train with `swift train`; return what the run wrote of itself."""
        told = TRAIN.format_map(vars(self) | {"stage": stage, "model": model, "data": data, "options": options})
        (self.work / f"{stage}.yaml").write_text(told)
        self.swift("train", f"{stage}.yaml")
        result: dict[str, Any] = json.loads((self.work / stage / "result.json").read_text())
        return result

    def swift(self, *arguments: str) -> str:
        """Run the command in the work folder; return what it prints."""
        command = [sys.executable, "-m", "swift_core", *arguments]
        done = subprocess.run(command, cwd=self.work, env=ENVIRONMENT, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"swift {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return done.stdout


def main() -> None:
    """Run the chain and print a line for each of its steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", required=True, help="gguf:PATH, a folder or a hub id")
    parser.add_argument("--problems", type=int, default=64, help="problems that answers are drawn for")
    parser.add_argument("--answers", type=int, default=8, help="answers to each")
    parser.add_argument("--rows", type=int, default=100, help="held-out problems")
    parser.add_argument("--length", type=int, default=96, help="longest answer, in tokens")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder for everything that is made")
    options = parser.parse_args()
    options.work.mkdir(parents=True)
    num_problems = write_data(options.data, options.work, options.problems, options.rows)
    print(f"{num_problems} problems, {options.answers} answers each; {options.rows} held-out problems", flush=True)
    run_chain(Chain(options.work, options.model, options.answers, options.length, options.rows, options.epochs))


def run_chain(chain: Chain) -> None:
    """Draw, SFT, draw, DPO."""
    start, spent = time.monotonic(), os.times()
    kept, told = chain.draw(chain.model, "best", "kept.jsonl")
    report("sample", start, told, f"{kept} answers kept")
    if not kept:
        raise SystemExit("no answer was right: there is nothing to train on")
    result = chain.train("sft", chain.model, "kept.jsonl", SFT)
    report("sft", start, "", accuracies(result))
    pairs, told = chain.draw("./sft", "pairs", "pairs.jsonl")
    report("sample", start, told, f"{pairs} pairs kept")
    if not pairs:
        raise SystemExit("no problem had both a right and a wrong answer: there are no pairs")
    result = chain.train("dpo", "./sft", "pairs.jsonl", DPO)
    report("dpo", start, "", accuracies(result))
    used = os.times()
    processor = used.children_user + used.children_system - spent.children_user - spent.children_system
    print(f"in all: {time.monotonic() - start:.0f} s, {processor:.0f} s of processor time", flush=True)


def accuracies(result: dict[str, Any]) -> str:
    """Return the held-out figures of a run before and after."""
    names = [name for name in ("eval_orm_accuracy", "eval_loss", "eval_reward_accuracy") if name in result["after"]]
    figures = ", ".join(f"{name} {result['before'][name]:.3f} -> {result['after'][name]:.3f}" for name in names)
    return f"{figures}; {result['num_steps']} steps in {result['seconds']:.0f} s"


def report(step: str, start: float, told: str, figures: str) -> None:
    """Print a line."""
    said = " | ".join(line for line in told.splitlines() if "tokens/s" in line or "mean reward" in line)
    print(f"{time.monotonic() - start:6.0f} s  {step:7} {figures}" + (f"  ({said})" if said else ""), flush=True)


def write_data(source: Path, work: Path, num_problems: int, num_rows: int) -> int:
    """Write the problems and the held-out pairs, each after one example; return the number of problems."""
    rows = [json.loads(line) for line in (source / "gsm8k_train.jsonl").read_text().splitlines()]
    rows = [row | {"answer": re.sub(r"<<.*?>>", "", row["answer"])} for row in rows]
    rows.sort(key=lambda row: len(row["question"]) + len(row["answer"]))
    shown = [turn("user", rows[0]["question"]), turn("assistant", rows[0]["answer"])]
    problems = [
        {"prompt": [*shown, turn("user", row["question"])], "ground_truth": row["answer"]}
        for row in rows[1 : num_problems + 1]
    ]
    pairs = [json.loads(line) for line in (source / "gsm8k_pairs_test.jsonl").read_text().splitlines()]
    pairs.sort(key=lambda pair: len(pair["prompt"]) + len(pair["chosen"]))
    held_out = [
        {
            "prompt": [*shown, turn("user", pair["prompt"])],
            "chosen": [turn("assistant", as_gsm8k(pair["chosen"]))],
            "rejected": [turn("assistant", as_gsm8k(pair["rejected"]))],
            "ground_truth": pair["chosen"].rpartition("A:")[2].strip(),
        }
        for pair in pairs[:num_rows]
    ]
    alone = [{"messages": pair["prompt"] + pair["chosen"], "ground_truth": pair["ground_truth"]} for pair in held_out]
    for name, lines in {"problems": problems, "held_out_sft": alone, "held_out_dpo": held_out}.items():
        (work / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return len(problems)


def as_gsm8k(solution: str) -> str:
    """Return a model's solution with the mark of the data before its answer."""
    return "#### ".join(part.strip(" ") for part in solution.rsplit("A:", 1))


def turn(role: str, content: str) -> dict[str, str]:
    """Return one turn."""
    return {"role": role, "content": content}


if __name__ == "__main__":
    main()
