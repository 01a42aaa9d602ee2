"""Tiny models that see images, one of each family, and images to show them."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image, ImageDraw

from swift_core.assemble.data.encode import Stage, encode_record
from swift_core.assemble.kinds import row_kind
from swift_core.assemble.model import Loading, load_tokenizer, load_weights
from swift_core.assemble.vision.batches import ImageCollator
from swift_core.assemble.vision.encoder import encoder_for
from swift_core.assemble.vision.rows import with_images
from swift_core.contracts.data import Record
from swift_core.contracts.images import ImageRef

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "yellow": (220, 220, 30)}


class Seeing:
    """A model with its encoder."""

    def __init__(self, folder, family):
        self.folder, self.family = folder, family
        self.tokenizer = load_tokenizer(folder)
        self.encoder = encoder_for(self.tokenizer, {}, folder)
        self.processing = self.encoder.processing
        self.image_token = self.processing.image_token
        self.image_token_id = self.processing.image_token_id

    def model(self, dtype=torch.float64):
        return load_weights(self.folder, Loading()).to(dtype).eval()

    def rows(self, records, *, rows="tokens", stage="sft"):
        kind = row_kind(rows)
        made = []
        for index, record in enumerate(records):
            sequences = encode_record(self.encoder, record, Stage(stage, kind, stage == "pt"))
            made.append(with_images(kind.row(sequences, record, index), record))
        return kind.finish(made), ImageCollator(kind.collator(self.encoder.pad_token_id), self.processing)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    from swift_core.testing.tiny_vision import tiny_vision_model

    root = tmp_path_factory.mktemp("seeing")
    return {family: tiny_vision_model(root / family, family=family) for family in ("llava", "qwen2_vl")}


@pytest.fixture(params=["llava", "qwen2_vl"])
def seeing(request, folders):
    return Seeing(folders[request.param], request.param)


@pytest.fixture
def draw(tmp_path):
    """Return a function (colour, width, height) -> an image with a square of that colour, in a file."""

    def make(colour="red", width=28, height=28, place=(4, 4)):
        image = Image.new("RGB", (width, height), "black")
        ImageDraw.Draw(image).rectangle([*place, place[0] + 12, place[1] + 12], fill=COLOURS[colour])
        path = tmp_path / f"{colour}-{width}x{height}-{place[0]}-{place[1]}.png"
        image.save(path)
        return ImageRef(path=str(path), stamp=path.name)

    return make


def chat(question, answer, *images, **other):
    """Return a record of a question with its answer."""
    return Record(
        where="rows.jsonl:1",
        prompt=[{"role": "user", "content": question}],
        completion=[{"role": "assistant", "content": answer}],
        images=tuple(images),
        **other,
    )


def pair(question, chosen, rejected, *images):
    """Return a record of a question with two answers."""
    turn = lambda text: [{"role": "assistant", "content": text}]  # noqa: E731
    return Record(
        where="rows.jsonl:1",
        prompt=[{"role": "user", "content": question}],
        chosen=turn(chosen),
        rejected=turn(rejected),
        images=tuple(images),
    )


@pytest.fixture
def records():
    return SimpleNamespace(chat=chat, pair=pair)
