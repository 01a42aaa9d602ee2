"""Draw images with questions that only a look at them answers, and make a tiny model that has never seen any.

`python examples/images/make.py FOLDER` writes `train.jsonl`, `held_out.jsonl`, pairs of a right and a wrong answer as
`pairs.jsonl` and `held_out_pairs.jsonl`, their images, and the models `tiny-llava` and `tiny-qwen2-vl`.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = {"red": (230, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 230), "yellow": (230, 220, 40)}
NUMBERS = ("one", "two", "three", "four")
PLACES = {"top left": (0, 0), "top right": (14, 0), "bottom left": (0, 14), "bottom right": (14, 14)}
FARBEN = {"rot": "red", "gruen": "green", "blau": "blue", "gelb": "yellow"}
QUESTIONS = {
    "colour": "<image>What colour?",
    "farbe": "<image>Welche Farbe?",
    "count": "<image>How many?",
    "position": "<image>Where?",
}
ANSWERS = {"colour": tuple(COLOURS), "farbe": tuple(FARBEN), "count": NUMBERS, "position": tuple(PLACES)}


def main(folder: Path) -> None:
    """Write all of it into `folder`."""
    from swift_core.testing.tiny_vision import tiny_vision_model

    for name, num_rows in (("train", 3200), ("held_out", 96)):
        write_rows(folder, name, num_rows)
    for name, num_rows in (("pairs", 2400), ("held_out_pairs", 96)):
        write_rows(folder, name, num_rows, pairs=True)
    tiny_vision_model(folder / "tiny-llava", family="llava")
    tiny_vision_model(folder / "tiny-qwen2-vl", family="qwen2_vl")


def draw(task: str, answer: str, random_numbers: random.Random) -> Image.Image:
    """Return an image of 28 by 28 pixels to which `answer` is true; all else in it is drawn by lot."""
    pick = random_numbers
    image = Image.new("RGB", (28, 28), (pick.randrange(60),) * 3)
    pen = ImageDraw.Draw(image)
    shown = {"colour": answer, "farbe": FARBEN.get(answer)}
    colour = COLOURS[shown.get(task) or pick.choice(list(COLOURS))]
    if task == "count":
        for left, top in pick.sample(list(PLACES.values()), NUMBERS.index(answer) + 1):
            pen.rectangle([left + 3, top + 3, left + 10, top + 10], fill=colour)
        return image
    if task in shown:
        left, top = pick.randrange(10), pick.randrange(10)
        pen.rectangle([left, top, left + 16, top + 16], fill=colour)
        return image
    left, top = PLACES[answer]
    left, top = left + pick.randrange(4), top + pick.randrange(4)
    pen.rectangle([left, top, left + 9, top + 9], fill=colour)
    return image


def write_rows(
    folder: Path, name: str, num_rows: int, *, tasks: Sequence[str] = ("colour",), seed: int = 0, pairs: bool = False
) -> None:
    """Write `NAME.jsonl` with as many rows of each task, and its images; answers of a task are equally frequent."""
    pick = random.Random(f"{seed} {name}")
    (folder / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(num_rows):
        task = tasks[number % len(tasks)]
        answers = ANSWERS[task]
        answer = answers[number // len(tasks) % len(answers)]
        file = f"{name}/{number}.png"
        draw(task, answer, pick).save(folder / file)
        wrong = pick.choice([other for other in answers if other != answer])
        rows.append(_row(QUESTIONS[task], answer, wrong, file, pairs=pairs))
    pick.shuffle(rows)
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _row(question: str, answer: str, wrong: str, file: str, *, pairs: bool) -> dict[str, object]:
    said = {text: [{"role": "assistant", "content": text}] for text in (answer, wrong)}
    asked = [{"role": "user", "content": question}]
    if pairs:
        return {"prompt": asked, "chosen": said[answer], "rejected": said[wrong], "images": [file]}
    return {"messages": [*asked, *said[answer]], "images": [file]}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
