"""A model that sees images with its encoder, and records to encode."""

import torch

from swift_core.assemble.data.encode import Stage, encode_record
from swift_core.assemble.kinds import row_kind
from swift_core.assemble.model import Loading, load_tokenizer, load_weights
from swift_core.assemble.vision.batches import ImageCollator
from swift_core.assemble.vision.encoder import encoder_for
from swift_core.assemble.vision.rows import with_images
from swift_core.contracts.data import Record


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
