"""Play tones with questions that only a listener answers, and make a tiny model that has never heard any.

`python examples/sounds/make.py FOLDER` writes `train.jsonl` and `held_out.jsonl`, their WAV files, and the model
`tiny-qwen2-audio`.
"""

from __future__ import annotations

import json
import math
import random
import struct
import sys
import wave
from pathlib import Path

RATE = 16_000
TONES = {"low": 300, "middle": 700, "high": 1600, "top": 3600}
"""Hertz."""

NUMBERS = ("one", "two", "three")
TOENE = {"tief": "low", "mittel": "middle", "hoch": "high", "oben": "top"}
QUESTIONS = {"tone": "<audio>Which tone is it?", "ton": "<audio>Welcher Ton?", "count": "<audio>How many?"}
ANSWERS = {"tone": tuple(TONES), "ton": tuple(TOENE), "count": NUMBERS}


def main(folder: Path) -> None:
    """Write all of it into `folder`."""
    from swift_core.testing.tiny_audio import tiny_audio_model

    for name, num_rows in (("train", 1600), ("held_out", 64)):
        write_rows(folder, name, num_rows)
    tiny_audio_model(folder / "tiny-qwen2-audio")


def play(task: str, answer: str, pick: random.Random, rate: int = RATE) -> list[float]:
    """Return samples of a sound to which `answer` is true; loudness, length and phase are drawn by lot."""
    if task != "count":
        return _tone(TONES[TOENE.get(answer, answer)], pick.uniform(0.3, 0.75), pick, rate)
    beeps: list[float] = []
    for _ in range(NUMBERS.index(answer) + 1):
        beeps += [0.0] * int(rate * pick.uniform(0.12, 0.18)) + _tone(1600, 0.1, pick, rate)
    return beeps


def _tone(hertz: float, seconds: float, pick: random.Random, rate: int) -> list[float]:
    pitch, loudness, phase = hertz * pick.uniform(0.9, 1.1), pick.uniform(0.2, 0.8), pick.uniform(0, 2 * math.pi)
    turn = 2 * math.pi * pitch / rate
    return [loudness * math.sin(turn * place + phase) for place in range(int(rate * seconds))]


def write_rows(folder: Path, name: str, num_rows: int, *, task: str = "tone", pairs: bool = False) -> None:
    """Write `NAME.jsonl` with as many rows, and its sounds; all answers are equally frequent."""
    pick = random.Random(name)
    (folder / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(num_rows):
        answer = ANSWERS[task][number % len(ANSWERS[task])]
        write_wav(folder / name / f"{number}.wav", play(task, answer, pick))
        wrong = pick.choice([other for other in ANSWERS[task] if other != answer])
        rows.append(_row(QUESTIONS[task], answer, wrong, f"{name}/{number}.wav", pairs=pairs))
    pick.shuffle(rows)
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_wav(path: Path, samples: list[float], rate: int = RATE) -> None:
    """Write samples in [-1, 1] as 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(struct.pack(f"<{len(samples)}h", *(int(32767 * sample) for sample in samples)))


def _row(question: str, answer: str, wrong: str, file: str, *, pairs: bool) -> dict[str, object]:
    said = {text: [{"role": "assistant", "content": text}] for text in (answer, wrong)}
    asked = [{"role": "user", "content": question}]
    if pairs:
        return {"prompt": asked, "chosen": said[answer], "rejected": said[wrong], "audios": [file]}
    return {"messages": [*asked, *said[answer]], "audios": [file]}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
