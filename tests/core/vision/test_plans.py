"""What is said of rows with images before a model is loaded: lengths, and what does not go with them."""

import json

import pytest

from swift_core.assemble.data.survey import survey
from swift_core.config.load import load
from swift_core.errors import SwiftError
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve


@pytest.fixture
def surveyed(tmp_path, draw):
    """Return a function (model, train settings, pairs) -> what a plan says of a row with an image and one without."""

    def look(model, train, *, pairs=False, method="single"):
        said = {name: [{"role": "assistant", "content": name}] for name in ("red", "blue")}
        rows = []
        for question, images in (("<image>What?", [draw().path]), ("Hello", [])):
            asked = [{"role": "user", "content": question}]
            answers = {"prompt": asked, "chosen": said["red"], "rejected": said["blue"]}
            rows.append({**(answers if pairs else {"messages": [*asked, *said["red"]]}), "images": images})
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        sections = {"model": {"model_id": str(model)}, "data": {"dataset": "rows.jsonl"}, "train": train}
        sections["device"] = {"num_processes": 1 if method == "single" else 2, "parallel_method": method}
        (tmp_path / "run.yaml").write_text(json.dumps(sections))
        return survey(resolve(load(tmp_path / "run.yaml"), installed(), planning=True))

    return look


def test_lengths_are_left_to_the_processor(surveyed, folders):
    found = surveyed(folders["llava"], {"stage": "sft", "max_steps": 1})
    assert (found.num_rows, found.lengths) == (2, None)
    assert any("the model's processor makes" in note for note in found.notes)


def test_without_pillow_the_way_to_it_is_told(surveyed, folders, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "PIL" else found(name, *rest))
    with pytest.raises(SwiftError, match=r"pip install 'swift-core\[vision\]'"):
        surveyed(folders["llava"], {"stage": "sft", "max_steps": 1})


def test_rows_with_images_are_not_packed(surveyed, folders):
    with pytest.raises(SwiftError, match="rows cannot be packed for this model: rows with images stand alone"):
        surveyed(folders["llava"], {"stage": "sft", "max_steps": 1, "packing": True})


def test_rows_with_images_share_no_prompt(surveyed, folders):
    train = {"stage": "dpo", "max_steps": 1, "share_prompt": True, "learning_rate": 1e-3}
    with pytest.raises(SwiftError, match="cannot be computed once: rows with images stand alone"):
        surveyed(folders["qwen2_vl"], train, pairs=True)


def test_a_model_of_text_is_told_before_anything_is_loaded(surveyed, tiny_folder):
    with pytest.raises(SwiftError, match="its configuration has no vision part"):
        surveyed(tiny_folder, {"stage": "sft", "max_steps": 1})


def test_processes_that_share_weights_see_images_in_every_row(surveyed, folders):
    with pytest.raises(SwiftError, match="1 of 2 rows have images or sounds, and 2 processes put the model's weights"):
        surveyed(folders["llava"], {"stage": "sft", "max_steps": 1}, method="fsdp2")
    surveyed(folders["llava"], {"stage": "sft", "max_steps": 1}, method="ddp")


@pytest.mark.parametrize(
    ("column", "what"), [("videos", "The row has videos, and no video is read"), ("audios", "The row has audio, and")]
)
def test_videos_and_sounds_are_refused_by_name_where_nothing_reads_them(tmp_path, folders, column, what):
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    rows = [
        {"messages": [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "red"}], column: ["a.wav"]}
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sections = {"model": {"model_id": str(folders["llava"])}, "data": {"dataset": "rows.jsonl"}}
    (tmp_path / "run.yaml").write_text(json.dumps(sections | {"train": {"stage": "sft", "max_steps": 1}}))
    with pytest.raises(SwiftError, match=what) as caught:
        survey(resolve(load(tmp_path / "run.yaml"), installed(), planning=True))
    (problem,) = caught.value.problems
    assert problem.place.line == 1
    assert problem.next_step
