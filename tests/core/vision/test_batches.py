"""Batches with images: what a row says does not depend on its neighbours, and losses are those of full logits."""

import math

import pytest
import torch

from swift_core.assemble.generate import generate
from swift_core.train.forward import OutputHead
from swift_core.train.outputs import ScoredTokens


def varied(draw, records):
    """Return rows with one image, two of other sizes, and none."""
    return [
        records.chat("<image>What colour?", "red", draw()),
        records.chat("Hello, how many words?", "two"),
        records.chat("<image> or <image>?", "blue and green", draw("blue", 56, 42), draw("green")),
        records.chat("<image>What?", "green and more", draw("green", 28, 56)),
    ]


def doubled(batch):
    """Return a batch whose pixels have 64 bits."""
    vision = {name: value.double() if value.is_floating_point() else value for name, value in batch["vision"].items()}
    return {**batch, "vision": vision}


def row_logps(model, batch):
    """Return [row] summed log-probabilities of the trained tokens, from all logits of the model."""
    given = {name: batch[name] for name in ("input_ids", "attention_mask")} | dict(batch.get("vision", {}))
    logps = model(**given, use_cache=False).logits[:, :-1].log_softmax(-1)
    labels = batch["labels"][:, 1:]
    chosen = logps.gather(2, labels.clamp(min=0)[:, :, None]).squeeze(2)
    return torch.where(labels >= 0, chosen, 0).sum(1)


def test_a_row_says_the_same_in_a_batch_and_alone(seeing, draw, records):
    model = seeing.model()
    rows, collate = seeing.rows(varied(draw, records))
    together = row_logps(model, doubled(collate(rows)))
    alone = [row_logps(model, doubled(batch) if "vision" in batch else batch) for batch in map(collate, zip(rows))]
    assert together.tolist() == pytest.approx([value.item() for value in alone], rel=1e-10)


def test_the_compact_path_scores_tokens_as_all_logits_do_and_with_their_gradient(seeing, draw, records):
    model = seeing.model(torch.float32)
    rows, collate = seeing.rows(varied(draw, records))
    batch = collate(rows)
    head = OutputHead(model)
    head.prove(model, batch)
    scored = ScoredTokens(head, model, batch)
    ours = scored.row_sums(scored.logps)
    (-ours.sum()).backward()
    gradients = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    exact = model.double()
    theirs = row_logps(exact, doubled(batch))
    (-theirs.sum()).backward()
    assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-5)
    tower = {name for name, _ in model.named_parameters() if "vision" in name or "visual" in name}
    assert tower & gradients.keys()
    for name, value in exact.named_parameters():
        if value.grad is not None:
            assert torch.allclose(gradients[name].double(), value.grad, rtol=1e-3, atol=1e-5), name


def test_a_batch_of_training_gives_the_logits_of_the_processors_own_call(seeing, draw, records):
    """Tokens, pixels, their grid and the positions made of it are those that transformers makes itself."""
    model = seeing.model()
    image = draw("blue", 56, 42, place=(30, 8))
    rows, collate = seeing.rows([records.chat("<image>Where?", "red", image)])
    batch = doubled(collate(rows))
    turns = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Where?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "red"}]},
    ]
    processor = seeing.processing.processor
    text = processor.apply_chat_template(turns, chat_template=seeing.tokenizer.chat_template)
    theirs = processor(text=[text], images=[[image.open()]], return_tensors="pt")
    theirs["pixel_values"] = theirs["pixel_values"].double()
    ours = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], **batch["vision"]).logits
    assert torch.equal(ours, model(**theirs).logits)


def test_a_square_elsewhere_changes_what_the_answer_is_worth(seeing, draw, records):
    model = seeing.model()
    places = [(0, 0), (14, 0), (0, 14), (14, 14)]
    rows, collate = seeing.rows([records.chat("<image>Where?", "red", draw(place=place)) for place in places])
    values = row_logps(model, doubled(collate(rows))).tolist()
    assert min(abs(a - b) for i, a in enumerate(values) for b in values[:i]) > 1e-6


def test_other_pixels_change_what_the_answer_is_worth(seeing, draw, records):
    model = seeing.model()
    rows, collate = seeing.rows([records.chat("<image>What?", "red", draw(colour)) for colour in ("red", "blue")])
    first, second = row_logps(model, doubled(collate(rows))).tolist()
    assert abs(first - second) > 1e-6


def test_two_images_are_seen_in_their_order(seeing, draw, records):
    model = seeing.model()
    red, blue = draw("red"), draw("blue")
    orders = [(red, blue), (blue, red)]
    rows, collate = seeing.rows([records.chat("<image><image>Which is first?", "red", *each) for each in orders])
    first, second = row_logps(model, doubled(collate(rows))).tolist()
    assert abs(first - second) > 1e-6


def test_a_dpo_loss_is_that_of_full_logits(seeing, draw, records):
    from swift_core.train.outputs import pair_outputs
    from swift_loss_zoo.pair.dpo import DPO

    policy, reference = seeing.model(torch.float32), seeing.model(torch.float32)
    with torch.no_grad():
        for value in reference.parameters():
            value += 0.05 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1))
    pairs = [
        records.pair("<image>What?", "red", "blue", draw()),
        records.pair("Hello", "two", "one more"),
        records.pair("<image><image>?", "green", "yellow red", draw("blue", 56, 42), draw("green")),
    ]
    rows, collate = seeing.rows(pairs, rows="pairs", stage="dpo")
    batch = collate(rows)
    assert batch["image_keys"].tolist()[:3] == batch["image_keys"].tolist()[3:]
    tokens = ScoredTokens(OutputHead(policy), policy, batch)
    known = ScoredTokens(OutputHead(reference), reference, batch).logps.detach()
    ours = DPO(beta=0.3)(pair_outputs(tokens, batch["margins"], lambda: known)).losses
    exact = doubled(batch)
    theirs = row_logps(policy.double(), exact) - row_logps(reference.double(), exact)
    margins = 0.3 * (theirs[:3] - theirs[3:])
    assert ours.tolist() == pytest.approx([math.log1p(math.exp(-margin)) for margin in margins.tolist()], rel=1e-4)


def test_answers_are_those_of_prompts_alone(seeing, draw, records):
    model = seeing.model(torch.float32)
    rows = varied(draw, records)
    prompts, images = [row.prompt for row in rows], [row.images for row in rows]
    together = generate(model, seeing.encoder, prompts, images=images, max_new_tokens=5)
    alone = [
        generate(model, seeing.encoder, [prompt], images=[seen], max_new_tokens=5)[0]
        for prompt, seen in zip(prompts, images, strict=True)
    ]
    assert together == alone


def test_answers_are_those_of_transformers(seeing, draw):
    model = seeing.model(torch.float32)
    image = draw("blue", 56, 42)
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
    processor = seeing.processing.processor
    text = processor.apply_chat_template(
        turns, chat_template=seeing.tokenizer.chat_template, add_generation_prompt=True
    )
    inputs = processor(text=[text], images=[[image.open()]], return_tensors="pt")
    theirs = model.generate(**inputs, max_new_tokens=5, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    (ours,) = generate(
        model, seeing.encoder, [[{"role": "user", "content": "<image>What?"}]], images=[[image]], max_new_tokens=5
    )
    assert ours == seeing.encoder.decode(theirs.tolist()).partition("<|im_end|>")[0]


def test_unpaired_rows_bring_their_images_to_answers_of_others(seeing, draw, records):
    from dataclasses import replace

    labelled = [
        replace(records.chat("<image>What?", "red", draw("red")), label=True),
        replace(records.chat("<image>What?", "blue green", draw("blue", 56, 28)), label=False),
    ]
    rows, collate = seeing.rows(labelled, rows="unpaired", stage="kto")
    batch = collate(rows)
    assert torch.equal(batch["vision"]["pixel_values"], batch["kl_vision"]["pixel_values"])
    assert batch["image_keys"].tolist() == batch["kl_image_keys"].tolist()
    own = {name.removeprefix("kl_"): value for name, value in batch.items() if name.startswith("kl_")}
    assert torch.isfinite(row_logps(seeing.model(), doubled(own))).all()


def test_a_file_that_went_away_is_told(seeing, draw, records, tmp_path):
    from pathlib import Path

    from swift_core.errors import SwiftError

    image = draw()
    rows, collate = seeing.rows([records.chat("<image>What?", "red", image)])
    Path(image.path).unlink()
    with pytest.raises(SwiftError, match="cannot be opened"):
        collate(rows)
