"""Models that hear: sounds read from files, as many tokens as the tower makes of them, and what is refused."""

import importlib.util
import io
import itertools
import json
import math
import random
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.core.vision.seeing import Seeing, chat, pair
from tests.core.vision.test_batches import doubled, row_logps

from swift_core.assemble.data.encode import Stage, encode_record
from swift_core.assemble.generate import generate
from swift_core.assemble.kinds import row_kind
from swift_core.assemble.param_groups import parameter_groups
from swift_core.assemble.spans import RowMistake
from swift_core.assemble.vision.model_parts import parts_of
from swift_core.assemble.vision.sounds import resampled
from swift_core.builtins.tuners.lora import Lora
from swift_core.contracts.settings import ParamGroupRef
from swift_core.contracts.sounds import SoundError, SoundRef, row_sounds, sound_from_json
from swift_core.errors import SwiftError

EXAMPLE = Path(__file__).parents[3] / "examples" / "sounds" / "make.py"


@pytest.fixture(scope="session")
def played():
    """Return the example that plays tones."""
    spec = importlib.util.spec_from_file_location("played_sounds", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def hearing(tmp_path_factory):
    from swift_core.testing.tiny_audio import tiny_audio_model

    return Seeing(tiny_audio_model(tmp_path_factory.mktemp("hearing") / "model"), "qwen2_audio")


@pytest.fixture
def sound(tmp_path, played):
    """Return a function (tone, seconds, rate) -> a tone in a file."""

    def make(tone="low", seconds=0.4, rate=16_000):
        path = tmp_path / f"{tone}-{seconds}-{rate}.wav"
        pick = random.Random(tone)
        played.write_wav(path, played.play("tone", tone, pick, rate)[: int(seconds * rate)], rate)
        return SoundRef(path=str(path), stamp=path.name)

    return make


def heard(question, answer, *sounds):
    return replace(chat(question, answer), audios=tuple(sounds))


def wav(samples, *, width=2, channels=1, rate=8000):
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples)
    return written.getvalue()


@pytest.mark.parametrize(
    ("width", "content", "expected"),
    [
        (1, bytes([128, 192, 0]), [0.0, 0.5, -1.0]),
        (2, np.array([0, 1 << 14, -(1 << 15)], "<i2").tobytes(), [0.0, 0.5, -1.0]),
        (3, bytes([0, 0, 0, 0, 0, 64, 0, 0, 128]), [0.0, 0.5, -1.0]),
        (4, np.array([0, 1 << 30, -(1 << 31)], "<i4").tobytes(), [0.0, 0.5, -1.0]),
    ],
)
def test_samples_of_each_width_are_numbers_from_minus_one_to_one(width, content, expected):
    samples, rate = SoundRef(data=wav(content, width=width)).open()
    assert (samples.tolist(), rate, samples.dtype) == (expected, 8000, np.float32)


def test_channels_are_averaged():
    both = np.array([1 << 14, 0, -(1 << 14), 1 << 14], "<i2").tobytes()
    samples, _ = SoundRef(data=wav(both, channels=2)).open()
    assert samples.tolist() == [0.25, 0.0]


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (b"RIFF", "broken-audio", "cannot be read as WAV"),
        (b"ID3 music", "broken-audio", "file does not start with RIFF id"),
        (wav(b"\0\0" * 50)[:60], "broken-audio", "is cut off"),
        (wav(b""), "broken-audio", "is cut off, or empty"),
    ],
)
def test_what_is_no_sound_is_told(data, code, message):
    with pytest.raises(SoundError, match=message) as caught:
        SoundRef(data=data).open()
    assert caught.value.code == code


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SoundError, match=r"cannot be opened: .*No such file"):
        SoundRef(path=str(tmp_path / "no.wav")).seconds()
    with pytest.raises(SoundError, match="is no file"):
        SoundRef(path=str(tmp_path)).seconds()


def test_a_tone_at_another_rate_is_the_same_tone():
    """Against the sine itself: whole turns, so that taking it as periodic changes nothing."""
    tone = lambda rate: np.sin(2 * math.pi * 50 * np.arange(rate // 5) / rate)  # noqa: E731
    for rate in (8000, 22050, 44100):
        assert np.abs(resampled(tone(rate).astype(np.float32), rate, 16_000) - tone(16_000)).max() < 1e-5
    same = tone(16_000).astype(np.float32)
    assert resampled(same, 16_000, 16_000) is same


def test_what_a_lower_rate_cannot_hold_is_left_out():
    rate = 16_000
    high = np.sin(2 * math.pi * 6000 * np.arange(rate) / rate).astype(np.float32)
    assert np.abs(resampled(high, rate, 8000)).max() < 1e-4


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a.wav", SoundRef(path="a.wav")),
        ({"path": "a.wav"}, SoundRef(path="a.wav")),
        ({"bytes": None, "path": "a.wav"}, SoundRef(path="a.wav")),
    ],
)
def test_rows_write_sounds_in_several_ways(value, expected):
    assert row_sounds({"audio": value}) == row_sounds({"audios": [value]}) == (expected,)


def test_bytes_of_a_row_are_a_sound_and_travel_as_json():
    import base64

    data = wav(b"\0\1" * 80)
    text = base64.b64encode(data).decode()
    for value in (data, {"bytes": data, "path": "x"}, {"base64": text}, f"data:audio/wav;base64,{text}"):
        (sound,) = row_sounds({"audios": [value]})
        assert sound.data == data
        assert sound_from_json(json.loads(json.dumps(sound.as_json()))) == sound
        assert sound.summary() == "0.01 s"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("https://a.org/a.wav", "is on a server, and sounds are read from files alone"),
        (3, "must be a sound: a path, bytes, or an object"),
        ({"array": [0.0]}, "must be a sound"),
        ("data:image/png;base64,AA==", "must be data:audio/"),
        ({"base64": "?"}, "is no base64 text"),
    ],
)
def test_what_names_no_sound_is_told(value, message):
    with pytest.raises(ValueError, match=message):
        row_sounds({"audios": [value]})


def test_tokens_and_spectra_are_those_of_the_processor(hearing, sound):
    sounds = [sound("low", 0.3), sound("high", 0.7)]
    parts = [{"type": "audio"}, {"type": "text", "text": " or "}, {"type": "audio"}, {"type": "text", "text": "?"}]
    turns = [{"role": "user", "content": parts}, {"role": "assistant", "content": [{"type": "text", "text": "low"}]}]
    processor = hearing.processing.processor
    text = processor.apply_chat_template(turns, chat_template=hearing.tokenizer.chat_template)
    opened = [each.open()[0] for each in sounds]
    theirs = processor(text=[text], audio=opened, sampling_rate=16_000, return_tensors="pt")
    (row,), collate = hearing.rows([heard("<audio> or <audio>?", "low", *sounds)])
    assert row["input_ids"] == theirs["input_ids"][0].tolist()
    ours = collate([row])["vision"]
    assert (
        ours.keys() == theirs.keys() - {"input_ids", "attention_mask"} == {"input_features", "feature_attention_mask"}
    )
    for name, value in ours.items():
        assert torch.equal(value, theirs[name])


def test_the_answer_is_trained_and_no_token_of_a_sound(hearing, sound):
    for stage in ("sft", "pt"):
        (row,), _ = hearing.rows([heard("<audio>Which?", "low", sound())], stage=stage)
        trained = [label for label in row["labels"] if label != -100]
        framed = {hearing.image_token_id} | set(hearing.encoder.encode(hearing.encoder.written))
        assert hearing.image_token_id in row["input_ids"]
        assert not framed & set(trained)
    (row,), _ = hearing.rows([heard("<audio>Which?", "low", sound())])
    assert hearing.encoder.decode([label for label in row["labels"] if label != -100]) == "low<|im_end|>"


def test_a_row_says_the_same_in_a_batch_and_alone(hearing, sound):
    model = hearing.model()
    records = [
        heard("<audio>Which?", "low", sound()),
        chat("Hello", "two"),
        heard("<audio><audio>?", "top", *[sound("top", 0.5), sound()]),
    ]
    rows, collate = hearing.rows(records)
    together = row_logps(model, doubled(collate(rows)))
    alone = [row_logps(model, doubled(batch) if "vision" in batch else batch) for batch in map(collate, zip(rows))]
    assert together.tolist() == pytest.approx([value.item() for value in alone], rel=1e-10)


def test_other_sounds_change_what_the_answer_is_worth_and_their_order_too(hearing, sound):
    model = hearing.model()
    low, top = sound("low"), sound("top")
    rows, collate = hearing.rows(
        [heard("<audio><audio>?", "low", *each) for each in ((low, low), (low, top), (top, low))]
    )
    values = row_logps(model, doubled(collate(rows))).tolist()
    assert all(abs(one - other) > 1e-6 for one, other in itertools.pairwise(values))


def test_answers_are_those_of_prompts_alone_and_of_transformers(hearing, sound):
    model = hearing.model(torch.float32)
    prompts = [[{"role": "user", "content": text}] for text in ("<audio>Which?", "Hello", "<audio> or <audio>, which?")]
    shown = [[sound()], [], [sound("top", 0.6), sound("high", 0.35)]]
    together = generate(model, hearing.encoder, prompts, images=shown, max_new_tokens=5)
    for prompt, each, answer in zip(prompts, shown, together, strict=True):
        assert generate(model, hearing.encoder, [prompt], images=[each], max_new_tokens=5) == [answer]
    processor = hearing.processing.processor
    parts = [{"type": "audio"}, {"type": "text", "text": "Which?"}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": parts}], chat_template=hearing.tokenizer.chat_template, add_generation_prompt=True
    )
    inputs = processor(text=[text], audio=[shown[0][0].open()[0]], sampling_rate=16_000, return_tensors="pt")
    theirs = model.generate(**inputs, max_new_tokens=5, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert together[0] == hearing.encoder.decode(theirs.tolist()).partition("<|im_end|>")[0]


def test_a_pair_hears_its_sound_twice(hearing, sound):
    record = replace(pair("<audio>Which?", "low", "high top"), audios=(sound(),))
    rows, collate = hearing.rows([record], rows="pairs", stage="dpo")
    batch = collate(rows)
    first, second = batch["vision"]["input_features"]
    assert torch.equal(first, second)
    assert torch.isfinite(row_logps(hearing.model(), doubled(batch))).all()


def test_a_sound_at_another_rate_is_heard_as_it_is(hearing, sound):
    rows, collate = hearing.rows([heard("<audio>?", "low", sound("low", 0.3, rate)) for rate in (16_000, 8000)])
    assert len(rows[0]["input_ids"]) == len(rows[1]["input_ids"])
    own, other = collate(rows)["vision"]["input_features"]
    assert (own[:4] - other[:4]).abs().mean() < 0.1  # mel bins below 4 kHz


def test_a_sound_longer_than_the_model_hears_is_an_error_and_not_cut(hearing):
    long = SoundRef(data=wav(b"\0\1" * 8001))
    with pytest.raises(RowMistake, match=r"has 1\.00 s, and the model hears 1\.00 s at once") as caught:
        hearing.rows([heard("<audio>?", "low", long)])
    assert caught.value.code == "audio-too-long"


def test_the_audio_token_written_by_a_user_is_an_error_of_the_row(hearing, sound):
    with pytest.raises(RowMistake, match="The row has no audios, and the model's audio token"):
        hearing.rows([chat("What is <|AUDIO|>?", "red")])
    with pytest.raises(RowMistake, match=r"The row has 1 audio, and the model's audio token .* 2 times"):
        hearing.rows([heard("<audio>What is <|AUDIO|>?", "red", sound())])


def test_a_model_of_text_is_named_as_what_hears_nothing(tiny_folder, sound):
    from swift_core.assemble.encoder import HfEncoder
    from swift_core.assemble.model import load_tokenizer

    encoder = HfEncoder(load_tokenizer(tiny_folder), {})
    with pytest.raises(RowMistake, match="its configuration has no audio part"):
        encode_record(encoder, heard("<audio>?", "low", sound()), Stage("sft", row_kind("tokens"), False))


def test_a_stage_that_reads_text_alone_refuses_sounds(hearing, sound):
    record = replace(pair("<audio>?", "low", "top"), audios=(sound(),))
    with pytest.raises(RowMistake, match="The row has audio, and stage rm reads text alone"):
        encode_record(hearing.encoder, record, Stage("rm", row_kind("scores"), False))


def test_each_parameter_belongs_to_one_part(hearing):
    model = hearing.model()
    parts = parts_of(model)
    names = [name for name, _ in model.named_parameters()]
    found = {part: [name for name in names if parts.part_of(name) == part] for part in ("audio", "aligner", "language")}
    assert all(name.startswith("model.audio_tower.") for name in found["audio"])
    assert all(name.startswith("model.multi_modal_projector.") for name in found["aligner"])
    assert all(found.values())
    assert sum(map(len, found.values())) == len(names)
    with pytest.raises(ValueError, match="'part:vision': the model has no vision part"):
        parts_of(model, ["part:vision"])


def test_the_tower_has_a_rate_of_its_own_and_adapters_leave_it_alone(hearing):
    rules = [ParamGroupRef(modules="part:audio", lr_scale=0.1)]
    groups = parameter_groups(hearing.model(), 0.0, lr=1.0, rules=rules)
    rates = {name: group.get("lr", 1.0) for group in groups for name in group["param_names"]}
    assert {rate for name, rate in rates.items() if "audio_tower" in name} == {0.1}
    assert {rate for name, rate in rates.items() if "audio_tower" not in name} == {1.0}
    adapted = Lora(target_modules="part:language", lora_rank=2).prepare_model(hearing.model())
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert trained
    assert all(".language_model." in name for name in trained)


def test_a_preview_shows_each_sound_with_its_length_and_tokens(hearing, sound):
    from swift_core.artifacts.mask_preview import mask_preview

    rows, _ = hearing.rows([heard("<audio>Which?", "low", sound("low", 0.3))])
    (entry,) = mask_preview(rows, hearing.encoder)
    text = "".join(piece["text"] for piece in entry["pieces"])
    count = rows[0]["input_ids"].count(hearing.image_token_id)
    assert f"<audio 1: 0.30 s, {count} tokens>" in text
    assert hearing.image_token not in text


def test_a_file_that_went_away_is_told(hearing, sound):
    each = sound()
    rows, collate = hearing.rows([heard("<audio>?", "low", each)])
    Path(each.path).unlink()
    with pytest.raises(SwiftError, match="An audio of a batch cannot be opened"):
        collate(rows)
