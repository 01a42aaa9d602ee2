"""Rows with images as tokens: those of the processor itself, none of an image trained, none cut in two."""

from dataclasses import replace

import pytest
import torch
import transformers
from tests.core.vision.seeing import Seeing

from swift_core.assemble.data.encode import Limit, Stage, Tally, encode_record, encode_rows
from swift_core.assemble.data.rows import Item, Row
from swift_core.assemble.kinds import row_kind
from swift_core.assemble.spans import RowMistake
from swift_core.contracts.data import Record
from swift_core.contracts.images import ImageRef
from swift_core.contracts.sounds import SoundRef
from swift_core.errors import SwiftError

SIZES = [(28, 28), (56, 28), (40, 70)]


def spoken(seeing, images):
    """Return what transformers' own processor makes of a conversation with images, by its own chat template."""
    parts = [{"type": "text", "text": "Look: "}, {"type": "image"}]
    parts += [{"type": "text", "text": " and "}, {"type": "image"}, {"type": "text", "text": " What colour?"}]
    turns = [{"role": "user", "content": parts}, {"role": "assistant", "content": [{"type": "text", "text": "red"}]}]
    processor = seeing.processing.processor
    text = processor.apply_chat_template(turns, chat_template=seeing.tokenizer.chat_template)
    return processor(text=[text], images=[[image.open() for image in images]], return_tensors="pt")


def encoded(seeing, record, stage="sft", rows="tokens"):
    return seeing.rows([record], rows=rows, stage=stage)


@pytest.mark.parametrize("sizes", [SIZES[:2], SIZES[1:], SIZES[::2]])
def test_tokens_and_pixels_are_those_of_the_processor(seeing, draw, records, sizes):
    images = [draw("red", *sizes[0]), draw("blue", *sizes[1])]
    theirs = spoken(seeing, images)
    (row,), collate = encoded(seeing, records.chat("Look: <image> and <image> What colour?", "red", *images))
    assert row["input_ids"] == theirs["input_ids"][0].tolist()
    ours = collate([row])["vision"]
    assert ours.keys() == theirs.keys() - {"input_ids", "attention_mask"}
    for name, value in ours.items():
        assert torch.equal(value, theirs[name])


def test_every_image_has_as_many_tokens_as_the_model_makes_of_it(seeing, draw, records):
    (row,), collate = encoded(seeing, records.chat("<image><image>What?", "red", draw(), draw("blue", 56, 42)))
    batch = collate([row])
    features = seeing.model(torch.float32).get_image_features(
        **{name: batch["vision"][name] for name in batch["vision"] if name != "mm_token_type_ids"}
    )
    counts = [len(each) for each in features.pooler_output]
    assert sum(counts) == row["input_ids"].count(seeing.image_token_id)
    assert len(counts) == 2


def test_the_answer_is_trained_and_no_token_of_an_image(seeing, draw, records):
    (row,), _ = encoded(seeing, records.chat("<image>What colour?", "red", draw()))
    trained = [label for label in row["labels"] if label != -100]
    assert seeing.encoder.decode(trained) == "red<|im_end|>"
    assert all(label in (-100, token) for label, token in zip(row["labels"], row["input_ids"], strict=True))


def test_stage_pt_trains_all_but_images_and_what_frames_them(seeing, draw, records):
    (row,), _ = encoded(seeing, records.chat("<image>What colour?", "red", draw()), stage="pt")
    kept_out = [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label == -100]
    framed = {seeing.image_token_id} | set(seeing.encoder.encode(seeing.encoder.written))
    assert set(kept_out) == framed
    assert not framed & {label for label in row["labels"] if label != -100}


def test_an_image_in_a_trained_turn_is_read_and_not_trained(seeing, draw, records):
    record = records.chat("Show red.", "Here: <image> red.", draw())
    (row,), _ = encoded(seeing, record)
    trained = seeing.encoder.decode([label for label in row["labels"] if label != -100])
    assert trained == "Here:  red.<|im_end|>"


def test_plain_text_has_images_where_its_marks_stand(seeing, draw):
    record = Record(where="a:1", prompt="See <image>: ", completion="red", images=(draw(),))
    (row,), _ = encoded(seeing, record)
    assert row["input_ids"].count(seeing.image_token_id) == row["input_ids"].count(seeing.image_token_id) > 1
    assert seeing.encoder.decode([label for label in row["labels"] if label != -100]) == "red<|im_end|>"


def test_weights_of_a_turn_leave_images_at_nothing(seeing, draw, records):
    record = records.chat("Show red.", "Here: <image> red.", draw())
    weighed = replace(record, completion=[{**record.completion[0], "weight": 0.5}])
    (row,), _ = encoded(seeing, weighed)
    for token, label, weight in zip(row["input_ids"], row["labels"], row["loss_scale"], strict=True):
        assert weight == (0.5 if label != -100 else 0.0)
        assert token != seeing.image_token_id or weight == 0


def test_the_image_token_written_by_a_user_is_an_error_of_the_row(seeing, draw, records):
    record = records.chat(f"What is {seeing.image_token}?", "red")
    with pytest.raises(RowMistake, match=r"The row has no images, and the model's image token .* stands in its text 1"):
        encoded(seeing, record)
    token = seeing.image_token if seeing.family == "qwen2_vl" else "<image>"
    with pytest.raises(RowMistake, match=r"The row has 1 image, and the model's image token .* 2 times"):
        encoded(seeing, records.chat(f"<image>What is {token}?", "red", draw()))


def test_rows_without_images_are_those_of_a_model_of_text(seeing, records):
    text = seeing.tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "red"}], tokenize=False
    )
    (row,), collate = encoded(seeing, records.chat("Hello", "red"))
    assert row["input_ids"] == seeing.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert "vision" not in collate([row])


def items(*records):
    return [Item(Row({"n": number}, "rows.jsonl", number + 1), record) for number, record in enumerate(records)]


def fitted(seeing, record, length, overlong):
    stage, tally = Stage("sft", row_kind("tokens"), False), Tally()
    limit = Limit(length, overlong, None)
    return encode_rows(items(record), seeing.encoder, stage, limit, tally), tally


def test_a_cut_takes_words_and_never_a_part_of_an_image(seeing, draw, records):
    record = records.chat("<image>What?", "red green blue " * 9, draw())
    (whole,), _ = fitted(seeing, record, 1000, "error")
    last = len(whole["input_ids"]) - 1 - whole["input_ids"][::-1].index(seeing.image_token_id)
    (cut,), tally = fitted(seeing, record, len(whole["input_ids"]) - 9, "truncate")
    assert (tally.num_truncated, len(cut["input_ids"])) == (1, len(whole["input_ids"]) - 9)
    assert cut["input_ids"].count(seeing.image_token_id) == whole["input_ids"].count(seeing.image_token_id)
    with pytest.raises(SwiftError) as caught:
        fitted(seeing, record, last, "truncate")
    (problem,) = caught.value.problems
    assert (problem.code, problem.place.line) == ("image-cut", 1)
    assert "its images reach to token" in problem.message
    kept, tally = fitted(seeing, record, last, "drop")
    assert (kept, tally.num_dropped) == ([], 1)


def test_a_model_of_text_refuses_rows_with_images(tiny_folder, draw, records):
    encoder = transformers.AutoTokenizer.from_pretrained(tiny_folder)
    from swift_core.assemble.encoder import HfEncoder

    with pytest.raises(RowMistake, match="its configuration has no vision part"):
        encode_record(
            HfEncoder(encoder, {}), records.chat("<image>What?", "red", draw()), Stage("sft", row_kind("tokens"), False)
        )


@pytest.mark.parametrize(("rows", "stage"), [("prompts", "grpo"), ("scores", "rm"), ("classes", "seq_cls")])
def test_stages_that_read_text_alone_refuse_images(seeing, draw, records, rows, stage):
    with pytest.raises(RowMistake, match=f"The row has images, and stage {stage} reads text alone"):
        encode_record(
            seeing.encoder, records.pair("<image>?", "red", "blue", draw()), Stage(stage, row_kind(rows), False)
        )


def test_a_template_that_takes_text_alone_is_given_the_image_token(folders, draw, records):
    from swift_core.assemble.model import load_tokenizer
    from swift_core.assemble.vision.encoder import encoder_for
    from swift_core.demo.recipe import CHAT_TEMPLATE

    tokenizer = load_tokenizer(folders["llava"])
    tokenizer.chat_template = CHAT_TEMPLATE
    encoder = encoder_for(tokenizer, {}, folders["llava"])
    assert not encoder.takes_parts
    (part,) = encode_record(
        encoder, records.chat("<image>What?", "red", draw()), Stage("sft", row_kind("tokens"), False)
    )
    assert (
        encoder.decode(part.ids)
        == f"<|im_start|>user\n{'<image>' * 16}What?<|im_end|>\n<|im_start|>assistant\nred<|im_end|>\n"
    )


PARTS_ALONE = (
    "{%- for message in messages %}{{- message['role'] + ': ' }}"
    "{%- for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{- '<image>\n' }}{%- endfor %}"
    "{%- for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{- part['text'] }}{%- endfor %}"
    "{{- '<|im_end|>' }}{%- endfor %}{%- if add_generation_prompt %}{{- 'assistant: ' }}{%- endif %}"
)


def test_a_template_that_takes_parts_alone_is_given_text_in_parts(folders, draw, records):
    from swift_core.assemble.encoder import LightEncoder
    from swift_core.assemble.model import load_tokenizer
    from swift_core.assemble.vision.encoder import encoder_for

    tokenizer = load_tokenizer(folders["llava"])
    tokenizer.chat_template = PARTS_ALONE
    encoder = encoder_for(tokenizer, {}, folders["llava"])
    stage = Stage("sft", row_kind("tokens"), False)
    (part,) = encode_record(encoder, records.chat("What? <image>", "red", draw()), stage)
    assert encoder.decode(part.ids) == f"user: {'<image>' * 16}\nWhat? <|im_end|>assistant: red<|im_end|>"
    light = LightEncoder.open(folders["llava"], PARTS_ALONE)
    assert light.render([{"role": "user", "content": "Hello"}]) == "user: Hello<|im_end|>"


def test_a_preview_shows_each_image_with_its_size_and_tokens(seeing, draw, records):
    from swift_core.artifacts.mask_preview import mask_preview

    rows, _ = encoded(seeing, records.chat("<image><image>What?", "red", draw(), draw("blue", 56, 28)))
    (entry,) = mask_preview(rows, seeing.encoder)
    counts = (16, 16) if seeing.family == "llava" else (4, 8)
    read, trained = entry["pieces"][:-2], entry["pieces"][-2]
    text = "".join(piece["text"] for piece in read)
    first, second = f"<image 1: 28x28, {counts[0]} tokens>", f"<image 2: 56x28, {counts[1]} tokens>"
    assert text.index(first) < text.index(second)
    assert seeing.image_token not in text
    assert (trained["trained"], trained["text"]) == (True, "red<|im_end|>")


def test_a_shown_image_stands_where_its_mark_is_or_before_the_prompt(seeing, draw, tmp_path):
    from pathlib import Path

    from swift_core.assemble.vision.shown import as_shown

    path = Path(draw().path)
    (ref,), prompts = as_shown(seeing.encoder, [ImageRef(path=str(path))], ["What?", "Look: <image>"])
    assert (ref.path, prompts) == (str(path), ["<image>What?", "Look: <image>"])
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    with pytest.raises(SwiftError) as caught:
        as_shown(seeing.encoder, [ImageRef(path=str(broken))], ["<image><image>"])
    assert {problem.code for problem in caught.value.problems} == {"broken-image", "image-marks"}


def test_a_sound_for_a_model_that_sees_is_refused_by_name(seeing):
    from swift_core.assemble.vision.shown import as_shown

    with pytest.raises(SwiftError, match=r"the model of this run reads text, images\.") as caught:
        as_shown(seeing.encoder, [SoundRef(path="a.wav")], ["What?"])
    assert [problem.code for problem in caught.value.problems] == ["model-hears-no-audio"]


def test_a_template_in_the_file_of_an_older_processor_is_found(folders, tmp_path):
    import json
    import shutil

    from swift_core.assemble.encoder import LightEncoder
    from swift_core.assemble.model import load_tokenizer

    folder = shutil.copytree(folders["llava"], tmp_path / "older")
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": PARTS_ALONE}))
    assert load_tokenizer(folder).chat_template == PARTS_ALONE
    assert LightEncoder.open(folder).render([{"role": "user", "content": "Hello"}]) == "user: Hello<|im_end|>"


def test_what_an_image_becomes_is_part_of_the_fingerprint_of_rows(folders, tmp_path):
    import json
    import shutil

    folder = shutil.copytree(folders["qwen2_vl"], tmp_path / "other")
    first = Seeing(folder, "qwen2_vl").encoder.fingerprint()
    assert first == Seeing(folder, "qwen2_vl").encoder.fingerprint()
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "size": {"shortest_edge": 784, "longest_edge": 784}}))
    assert Seeing(folder, "qwen2_vl").encoder.fingerprint() != first
