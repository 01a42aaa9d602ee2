"""Images of rows: found, marked, refused, and told of by row before anything is trained."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import subprocess
import sys
import urllib.parse
from dataclasses import replace

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from swift_core.assemble.data.grounding import BoxWriter
from swift_core.assemble.data.read import read_data
from swift_core.assemble.data.row_cache import key_of
from swift_core.assemble.data.vet_images import require_modalities, vetted
from swift_core.contracts.data import Record
from swift_core.contracts.images import FORMATS, ImageError, ImageRef, image_from_json
from swift_core.errors import SwiftError


def picture(colour="red", size=(4, 3), kind="PNG", **options):
    """Return the bytes of an image file of one colour."""
    written = io.BytesIO()
    Image.new("RGB", size, colour).save(written, kind, **options)
    return written.getvalue()


RED, BLUE = picture(), picture("blue")


def asked(content, answer="a"):
    return [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]


def data_uri(data):
    return "data:image/png;base64," + base64.b64encode(data).decode()


@pytest.fixture
def read(plan_of, write_rows, tmp_path):
    """Read rows that are written beside two image files; the keys are those of the data section."""
    (tmp_path / "red.png").write_bytes(RED)
    (tmp_path / "blue.png").write_bytes(BLUE)

    def read(*rows, **data):
        write_rows("rows.jsonl", *rows)
        return read_data(plan_of({"dataset": "rows.jsonl", **data}))

    return read


def problems_of(read, *rows, **data):
    with pytest.raises(SwiftError) as caught:
        read(*rows, **data)
    return caught.value.problems


def colours(record):
    return [image.open().getpixel((0, 0)) for image in record.images]


WAYS = {
    "path": "red.png",
    "data URI": data_uri(RED),
    "data URI with percent signs": "data:image/png," + urllib.parse.quote(RED),
    "base64": base64.b64encode(RED).decode(),
    "object with base64 bytes": {"bytes": base64.b64encode(RED).decode(), "path": None},
    "object with a path": {"bytes": None, "path": "red.png"},
    "object with url": {"url": data_uri(RED)},
}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_an_image_is_written_in_any_way_of_the_field(read, way, streaming):
    rows = [{"messages": asked("<image>q"), "images": [WAYS[way]]}, {"messages": asked("<image>q"), "image": WAYS[way]}]
    found = [item.record for item in read(*rows, streaming=streaming).train]
    assert [colours(record) for record in found] == [[(255, 0, 0)]] * 2
    assert found[0].prompt == [{"role": "user", "content": "<image>q"}]


def test_images_of_parquet_are_those_of_the_image_feature(plan_of, tmp_path):
    rows = [{"messages": asked("<image>q"), "images": [{"bytes": BLUE, "path": "gone.png"}]}] * 3
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    for streaming in (False, True):
        data = read_data(plan_of({"dataset": "rows.parquet", "streaming": streaming}))
        assert [colours(item.record) for item in data.train] == [[(0, 0, 255)]] * 3
        (columns,) = {json.dumps(dict(item.record.columns)) for item in data.train}  # as rewards of others get them
        assert f"{len(BLUE):,} bytes" in columns


def test_images_of_parts_and_of_the_column_keep_their_order(read):
    parts = [
        {"type": "image"},
        {"type": "text", "text": " or "},
        {"type": "image_url", "image_url": {"url": data_uri(BLUE)}},
    ]
    turns = [*asked(parts), *asked("and <image>?")]
    (item,) = read({"messages": turns, "images": ["red.png", "red.png"]}).train
    assert colours(item.record) == [(255, 0, 0), (0, 0, 255), (255, 0, 0)]
    texts = [turn["content"] for turn in [*item.record.prompt, *item.record.completion]]
    assert texts == ["<image> or <image>", "a", "and <image>?", "a"]
    assert not any("images" in turn for turn in [*item.record.prompt, *item.record.completion])


def test_images_without_marks_stand_before_the_first_question_and_it_is_told(read):
    system = {"role": "system", "content": "s"}
    data = read({"messages": [system, *asked("q")], "images": ["red.png", "blue.png"]}, system="not this")
    assert data.train[0].record.prompt == [system, {"role": "user", "content": "<image><image>q"}]
    assert data.notes == (
        "rows.jsonl: 2 images in 1 of 1 rows; 1 rows have no <image>, and theirs stand before the first question",
    )


def test_a_mark_is_text_where_a_data_set_has_no_images(read):
    (item,) = read({"messages": asked("what is <image> in HTML?")}).train
    assert item.record.images == ()
    assert item.record.prompt[0]["content"] == "what is <image> in HTML?"


PAIR = {"prompt": asked("<image>q")[:1], "chosen": "a", "rejected": "b", "images": ["red.png"]}


def test_compared_answers_share_the_images_of_their_prompt(read):
    whole = {"chosen": asked("<image>q", "a"), "rejected": asked("<image>q", "b"), "images": ["red.png"]}
    kept = {"messages": asked("q", "a"), "rejected_response": "b", "images": ["red.png"]}
    for row in (PAIR, whole, kept):
        (item,) = read(row).train
        assert item.record.prompt == [{"role": "user", "content": "<image>q"}]
        assert (item.record.chosen[0]["content"], item.record.rejected[0]["content"]) == ("a", "b")
        assert colours(item.record) == [(255, 0, 0)]


@pytest.mark.parametrize(
    ("row", "code", "message"),
    [
        (
            {"messages": asked("<image>q"), "images": ["red.png", "blue.png"]},
            "image-marks",
            "The row has 2 images, and <image> once in its text.",
        ),
        (
            {"messages": asked("<image><image>q"), "images": ["red.png"]},
            "image-marks",
            "The row has 1 image, and <image> 2 times in its text.",
        ),
        (
            {"messages": asked("<image>q"), "images": []},
            "image-marks",
            "The row has 0 images, and <image> once in its text.",
        ),
        (
            {**PAIR, "rejected": "b <image>"},
            "image-marks",
            "Images stand in the prompt where answers are compared, and the rejected answer has <image>.",
        ),
        (
            {"messages": asked([{"type": "image", "image": "red.png"}, {"type": "text", "text": "<image>"}])},
            "image-marks",
            "The text of a turn with images holds <image> as well.",
        ),
        ({"messages": asked("q"), "images": ["none.png"]}, "missing-image", "The image 'none.png' cannot be read"),
        ({"messages": asked("q"), "images": ["/dev/zero"]}, "missing-image", "The image '/dev/zero' is no file"),
        ({"messages": asked("q"), "images": ["rows.jsonl"]}, "broken-image", "The image 'rows.jsonl' is no image"),
        (
            {"messages": asked("q"), "images": [data_uri(b"no")]},
            "broken-image",
            "The image of 2 bytes in the row is no image",
        ),
        (
            {"messages": asked("q"), "images": ["https://a.example/1.png"]},
            "image-refused",
            "The image 'https://a.example/1.png' is on a server, and images are fetched only where that is allowed.",
        ),
        ({"messages": asked("q"), "images": [3]}, "malformed-row", "images[0] must be an image"),
        (
            {"messages": asked("q"), "images": ["red.png"], "image": "red.png"},
            "malformed-row",
            "images stand in the column images and in the column image",
        ),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_what_is_wrong_with_images_is_told_by_row(read, row, code, message, streaming):
    good = {"messages": asked("<image>q"), "images": ["red.png"]}
    if "chosen" in row:
        good = PAIR
    (problem,) = problems_of(read, good, row, streaming=streaming)
    assert (problem.code, problem.place.file, problem.place.line) == (code, "rows.jsonl", 2)
    assert message in problem.message
    assert problem.place.text.startswith("{")
    assert problem.next_step


def test_all_wrong_rows_are_told_together(read):
    rows = [{"messages": asked("q"), "images": [name]} for name in ("a", "b", "rows.jsonl", "c", "d")]
    found = problems_of(read, *rows)
    assert [problem.place.line for problem in found] == [1, 2, 4, 3]
    assert found[2].message.endswith("1 more row is wrong in this way.")


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (RED[:40], "broken-image", "is no image"),
        (picture(size=(40, 30)), "image-too-large", "has 40 x 30 pixels, and data.max_image_pixels is 100"),
        (b"\x89PNG\r\n\x1a\n rest", "broken-image", "is no image, or none of BMP"),
    ],
    ids=["cut", "large", "not a PNG"],
)
def test_headers_are_read_before_training(plan_of, write_rows, data, code, message):
    rows = [{"messages": asked("q"), "images": [data_uri(each)]} for each in (RED, data)]
    write_rows("rows.jsonl", *rows)
    plan = plan_of({"dataset": "rows.jsonl", "max_image_pixels": 100})
    with pytest.raises(SwiftError) as caught:
        vetted(plan, read_data(plan))
    (problem,) = caught.value.problems
    assert (problem.code, problem.place.line) == (code, 2)
    assert message in problem.message


def test_a_model_that_reads_text_alone_refuses_by_name_and_row(read, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    rows = [
        {"messages": asked("q")},
        {"messages": asked("q"), "images": ["red.png"]},
        {"messages": asked("q"), "videos": ["v.mp4"], "audios": ["a.wav"]},
    ]
    with pytest.raises(SwiftError) as caught:
        require_modalities(read(*rows).train, {"image"}, "the model tiny")
    assert [problem.message for problem in caught.value.problems] == [
        "The row has videos, and the model tiny takes text, images.",
        "The row has audio, and the model tiny takes text, images.",
    ]
    assert {problem.place.line for problem in caught.value.problems} == {3}
    with pytest.raises(SwiftError, match="The row has images, and the model tiny takes text"):
        require_modalities(read(rows[1]).train, (), "the model tiny")


def test_a_local_data_file_may_name_any_file_and_it_is_told(read, tmp_path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "x.png"
    outside.write_bytes(BLUE)
    data = read({"messages": asked("q"), "images": [str(outside)]})
    assert colours(data.train[0].record) == [(0, 0, 255)]
    assert data.notes[0].endswith("1 are files outside the folder of the data")
    found = read({"messages": asked("q"), "images": ["x.png"]}, image_folder=str(outside.parent))
    assert colours(found.train[0].record) == [(0, 0, 255)]


def hub_of(monkeypatch, rows):
    import datasets

    table = datasets.Dataset.from_list(rows)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: table)


def test_a_hub_data_set_reads_its_bytes_and_no_file_of_this_machine(monkeypatch, plan_of, tmp_path):
    import datasets

    (tmp_path / "mine.png").write_bytes(RED)
    plan = plan_of({"dataset": "some/set"})
    hub_of(monkeypatch, [{"messages": asked("q"), "image": str(tmp_path / "mine.png")}])
    with pytest.raises(SwiftError, match="is a file of this machine, and the row is from a data set that is not"):
        read_data(plan)
    hub_of(monkeypatch, [{"messages": asked("q"), "image": "../../mine.png"}])
    with pytest.raises(SwiftError, match="is a file of this machine"):
        read_data(plan_of({"dataset": "some/set", "image_folder": str(tmp_path)}))
    hub_of(monkeypatch, [{"messages": asked("q"), "image": {"bytes": BLUE, "path": "/etc/passwd"}}])
    stored = datasets.load_dataset("some/set").cast_column("image", datasets.Image())
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: stored)
    assert colours(read_data(plan).train[0].record) == [(0, 0, 255)]


def test_a_link_in_the_image_folder_does_not_lead_out_of_it(monkeypatch, plan_of, tmp_path):
    (tmp_path / "mine.png").write_bytes(RED)
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "link.png").symlink_to(tmp_path / "mine.png")
    hub_of(monkeypatch, [{"messages": asked("q"), "image": "link.png"}])
    with pytest.raises(SwiftError, match="is a file of this machine"):
        read_data(plan_of({"dataset": "some/set", "image_folder": "given"}))


def test_kept_rows_depend_on_the_files_content_and_on_bytes(read, plan_of, tmp_path):
    from swift_core.assemble.data.load import limit_of, stage_of

    class Encoder:
        def fingerprint(self):
            return "same"

    def key(*rows):
        data = read(*rows)
        plan = plan_of({"dataset": "rows.jsonl"})
        return key_of(plan, data.train, Encoder(), stage_of(plan), limit_of(plan))

    row = {"messages": asked("q"), "images": ["red.png"]}
    before = key(row)
    assert key(row) == before
    (tmp_path / "red.png").write_bytes(picture("green", size=(8, 8)))
    assert key(row) != before
    first, second = ({"messages": asked("q"), "images": [data_uri(data)]} for data in (RED, BLUE))
    assert key(first) != key(second)


def test_a_plan_reads_rows_with_images_without_pillow(read, write_rows, tmp_path):
    write_rows("rows.jsonl", {"messages": asked("q"), "images": ["red.png"]})
    (tmp_path / "red.png").write_bytes(RED)
    sections = {"model": {"model_id": "demo:tiny"}, "data": {"dataset": "rows.jsonl"}, "train": {"max_steps": 1}}
    (tmp_path / "run.yaml").write_text(json.dumps(sections))
    code = (
        "import sys; from pathlib import Path\n"
        "from swift_core.config.load import load; from swift_core.plugins.registry import installed\n"
        "from swift_core.resolve.plan import resolve; from swift_core.assemble.data.read import read_data\n"
        f"data = read_data(resolve(load(Path({str(tmp_path / 'run.yaml')!r})), installed()))\n"
        "print(len(data.train[0].record.images), {'PIL', 'torch', 'transformers', 'datasets'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "set()"]


ORIENTATION = 0x0112


@pytest.mark.parametrize("kind", FORMATS)
def test_every_named_kind_of_file_is_read_in_rgb(kind):
    image = ImageRef(data=picture("white", kind=kind))
    assert image.size() == (4, 3) == image.open().size
    assert (image.open().mode, image.open().getpixel((0, 0))) == ("RGB", (255, 255, 255))


def test_other_kinds_are_refused_whatever_pillow_reads():
    with pytest.raises(ImageError, match="is no image, or none of"):
        ImageRef(data=picture(kind="PCX")).open()


def test_a_turned_photograph_is_put_upright():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    image = ImageRef(data=picture(kind="JPEG", exif=exif))
    assert image.size() == image.open().size == (3, 4)


def test_sixteen_bits_keep_their_greys():
    grey = Image.new("I;16", (2, 1))
    grey.putpixel((0, 0), 65535)
    grey.putpixel((1, 0), 256 * 7)
    written = io.BytesIO()
    grey.save(written, "PNG")
    opened = ImageRef(data=written.getvalue()).open()
    assert [opened.getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), (7, 7, 7)]


@given(
    data=st.binary(max_size=60)
    | st.binary(max_size=40).map(lambda tail: RED[:30] + tail)
    | st.integers(0, len(RED)).map(lambda cut: RED[:cut])
)
def test_damaged_bytes_are_told_and_never_a_traceback(data):
    image = ImageRef(data=data)
    with contextlib.suppress(ImageError):  # anything else is a bug
        image.size()
    with contextlib.suppress(ImageError):
        image.open()


def test_an_image_travels_as_json():
    for image in (ImageRef(data=RED, stamp="s", max_pixels=7), ImageRef(path="/a", url="https://b")):
        assert image_from_json(json.loads(json.dumps(image.as_json()))) == image


def boxes(scale, **objects):
    record = Record(
        where="w",
        prompt=[{"role": "user", "content": "<image>where is <ref-object>?"}],
        completion=[{"role": "assistant", "content": "at <bbox>"}],
        images=(ImageRef(data=picture(size=(200, 50))),),
        objects={"ref": ["it"], **objects},
    )
    written = BoxWriter(scale, "({x1},{y1},{x2},{y2})", "<{ref}>").written(record)
    assert written.objects is None
    assert written.prompt[0]["content"] == "<image>where is <it>?"
    return written.completion[0]["content"]


@pytest.mark.parametrize(
    ("scale", "kind", "box", "text"),
    [
        ("norm1000", "real", [20, 10, 100, 50], "at (100,200,500,1000)"),
        ("norm1", "real", [20, 10, 100, 50], "at (0.100,0.200,0.500,1.000)"),
        ("pixels", "real", [20.4, 10, 100.6, 50], "at (20,10,101,50)"),
        ("pixels", "norm1", [0.1, 0.2, 0.5, 1], "at (20,10,100,50)"),
        ("pixels", "norm1000", [100, 200, 500, 1000], "at (20,10,100,50)"),
        ("norm1000", "norm1", [0.1, 0.2, 0.5, 1], "at (100,200,500,1000)"),
        ("norm1000", None, [0, 0, 200.9, 50.5], "at (0,0,1000,1000)"),
    ],
)
def test_boxes_are_written_in_the_scale_of_the_run(scale, kind, box, text):
    assert boxes(scale, bbox=[box], bbox_type=kind) == text


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({"bbox": [[0, 0, 300, 10]]}, r"bbox\[0\] must be x1, y1, x2, y2 inside an image of 200 x 50 pixels"),
        ({"bbox": [[50, 0, 20, 10]]}, "must be x1, y1, x2, y2 inside an image"),
        ({"bbox": [[0, 0, 1.5, 1]], "bbox_type": "norm1"}, "inside 0 to 1, got"),
        ({"bbox": [[0, 0]]}, r"bbox\[0\] must be x1, y1, x2, y2, got \[0, 0\]"),
        ({"bbox": [[0, 0, 1, float("nan")]]}, "must be x1, y1, x2, y2, got"),
        ({"bbox": [[0, 0, 1, 1]] * 2}, "objects.bbox has 2 and the turns hold <bbox> 1 times"),
        ({"bbox": [[0, 0, 1, 1]], "ref": []}, "objects.ref has 0 and the turns hold <ref-object> 1 times"),
        ({"bbox": [[0, 0, 1, 1]], "image_id": [1]}, r"image_id\[0\] must be the number of an image from 0, got 1"),
        ({"bbox": [[0, 0, 1, 1]], "bbox_type": "xywh"}, "bbox_type must be real, norm1 or norm1000, got 'xywh'"),
        ({"bbox": [[0, 0, 1, 1]], "mask": []}, "objects has ref, bbox, bbox_type, image_id, and not mask"),
    ],
)
def test_what_is_wrong_with_boxes_is_said(objects, message):
    with pytest.raises(ValueError, match=message):
        boxes("norm1000", **objects)


def test_boxes_are_written_while_rows_are_read(read):
    row = {"image": "red.png", "objects": {"ref": ["a spot"], "bbox": [[0, 0, 2, 3]]}}
    (item,) = read(row).train
    assert item.record.prompt[0]["content"] == "<image>Locate a spot."
    assert item.record.completion[0]["content"] == "[0, 0, 500, 1000]"
    (problem,) = problems_of(read, {"image": "red.png", "objects": {"ref": ["a"], "bbox": [[0, 0, 9, 9]]}})
    assert (problem.code, problem.place.line) == ("malformed-row", 1)


def test_pixels_are_decoded_late(read, monkeypatch):
    def fail(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageRef, "open", fail)
    data = read({"messages": asked("q"), "images": ["red.png"]})
    assert len(data.train[0].record.images) == 1
    assert replace(data.train[0].record.images[0]).name.startswith("'/")
