"""Data sets as wholes: mixed, divided, streamed, encoded by several processes, and kept on disk."""

from __future__ import annotations

import json
import os
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swift_core.artifacts.drift import identity
from swift_core.assemble.data.load import load_data
from swift_core.assemble.data.mixing import interleaved
from swift_core.assemble.data.read import read_data
from swift_core.assemble.data.row_cache import RowFile
from swift_core.assemble.data.split import draw_of
from swift_core.assemble.encoder import LightEncoder
from swift_core.assemble.packing import packed
from swift_core.cache import cache_dir
from swift_core.errors import SwiftError


def chat(question, answer="b"):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.fixture
def encoder(chatml_folder):
    return LightEncoder.open(chatml_folder)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SWIFT_CACHE", str(tmp_path / "cache"))


def questions(items):
    return [item.record.prompt[-1]["content"] for item in items]


lengths = st.lists(st.integers(1, 30), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(lengths=lengths, seed=st.integers(0, 9), data=st.data())
def test_mixing_keeps_its_promise_of_the_end(lengths, seed, data):
    shares = data.draw(st.lists(st.floats(0.1, 5), min_size=len(lengths), max_size=len(lengths)))
    first = list(interleaved(lengths, shares, "first_exhausted", seed))
    taken = Counter(first)
    assert all(taken[index] <= length for index, length in enumerate(lengths))
    assert any(taken[index] == length for index, length in enumerate(lengths))
    every = list(interleaved(lengths, shares, "all_exhausted", seed))
    assert all(Counter(every)[index] >= length for index, length in enumerate(lengths))
    last = every.pop()
    assert Counter(every)[last] < lengths[last]
    assert first == list(interleaved(lengths, shares, "first_exhausted", seed))
    assert every[: len(first)] == first[: len(every)]


def test_data_sets_are_drawn_as_often_as_asked():
    drawn = Counter(islice(interleaved([10**6, 10**6], [3.0, 1.0], "first_exhausted", 1), 20_000))
    assert drawn[0] / 20_000 == pytest.approx(0.75, abs=4 * (0.75 * 0.25 / 20_000) ** 0.5)


@pytest.mark.parametrize("streaming", [False, True])
def test_mixed_rows_stand_in_the_drawn_order_and_the_plan_says_so(plan_of, write_rows, streaming):
    write_rows("a.jsonl", *[chat(f"a{number}") for number in range(6)])
    write_rows("b.jsonl", *[chat(f"b{number}") for number in range(3)])
    mixed = {"dataset": ["a.jsonl", "b.jsonl"], "interleave_prob": [1.0, 1.0], "streaming": streaming}
    found = read_data(plan_of(mixed, seed=3))
    order = list(interleaved([6, 3], [1.0, 1.0], "first_exhausted", 3))
    sources = [iter([f"a{number}" for number in range(6)]), iter([f"b{number}" for number in range(3)])]
    assert questions(found.train) == [next(sources[index]) for index in order]
    assert len(found.train) == len(order)
    (note,) = found.notes
    assert note.startswith("mixed by data.interleave_prob: a.jsonl ")
    assert note.endswith("it ends when one has no row left; the others' rest is not trained")

    again = read_data(plan_of({**mixed, "stopping_strategy": "all_exhausted"}, seed=3))
    assert set(questions(again.train)) == {f"a{number}" for number in range(6)} | {f"b{number}" for number in range(3)}
    assert len(again.train) > 9


@given(values=st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=3))
def test_a_draw_depends_on_what_a_row_says_alone(values):
    backwards = dict(reversed(values.items()))
    assert 0 <= draw_of(values, 1) == draw_of(backwards, 1) < 1
    assert draw_of(values, 1) != draw_of(values, 2)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_row_stays_on_its_side_when_others_come(plan_of, write_rows, streaming):
    rows = [chat(str(number)) for number in range(60)]
    data = {"dataset": "train.jsonl", "split_dataset_ratio": 0.25, "streaming": streaming}
    write_rows("train.jsonl", *rows[:40], rows[0], rows[1])
    before = read_data(plan_of(data))
    write_rows("train.jsonl", *reversed(rows))
    after = read_data(plan_of(data))
    assert set(questions(before.held_out)) <= set(questions(after.held_out))
    assert set(questions(before.train)) <= set(questions(after.train))
    assert not set(questions(before.held_out)) & set(questions(before.train))
    more = read_data(plan_of({**data, "split_dataset_ratio": 0.5}))
    assert set(questions(after.held_out)) < set(questions(more.held_out))


@pytest.mark.parametrize("ratio", [0.0001, 0.9999])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_split_leaves_both_sides_a_row(plan_of, write_rows, ratio, streaming):
    write_rows("train.jsonl", *[chat(str(number)) for number in range(4)])
    data = read_data(plan_of({"dataset": "train.jsonl", "split_dataset_ratio": ratio, "streaming": streaming}))
    assert {len(data.train), len(data.held_out)} == {1, 3}
    assert sorted([*questions(data.train), *questions(data.held_out)]) == list("0123")


def test_rows_that_all_say_the_same_cannot_be_divided(plan_of, write_rows):
    write_rows("train.jsonl", chat("a"), chat("a"))
    with pytest.raises(SwiftError, match="needs at least two rows to divide, and all say the same"):
        read_data(plan_of({"dataset": "train.jsonl", "split_dataset_ratio": 0.5}))


PAIRS = [{"prompt": [{"role": "user", "content": str(n)}], "chosen": "yes" * n, "rejected": "no"} for n in range(1, 9)]


@pytest.mark.parametrize(
    ("rows", "train"),
    [
        ([chat(str(number), "long " * number) for number in range(1, 12)], {"stage": "sft"}),
        ([chat(str(number), "a <tool_call>b</tool_call>") for number in range(5)], {"loss_scale": "hermes"}),
        (PAIRS, {"stage": "dpo"}),
    ],
)
@pytest.mark.parametrize(
    "more", [{"streaming": True}, {"cache": True}, {"num_proc": 2}, {"streaming": True, "num_proc": 2}]
)
def test_however_rows_are_encoded_they_are_the_same(plan_of, write_rows, encoder, rows, train, more):
    write_rows("train.jsonl", *rows)
    data = {"dataset": "train.jsonl", "overlong": "drop", "max_length": 45}
    plain = load_data(plan_of(data, **train), encoder)
    for _ in range(2):
        other = load_data(plan_of({**data, **more}, **train), encoder)
        assert list(other.train) == list(plain.train)
        assert [other.train[index] for index in range(len(plain.train))] == plain.train
        told = {**other.facts, "notes": None}
        assert told == {**plain.facts, "notes": None}
    assert isinstance(other.train, RowFile) == ("streaming" in more)
    if more != {"num_proc": 2}:
        assert other.facts["notes"][-1].startswith(f"encoded rows read from {cache_dir() / 'rows'}")


def test_no_streamed_row_stays_in_memory(plan_of, write_rows, encoder):
    write_rows("train.jsonl", *[chat(str(number)) for number in range(9)])
    streamed = load_data(plan_of({"dataset": "train.jsonl", "streaming": True}), encoder).train
    assert streamed[3] == streamed[3]
    assert streamed[3] is not streamed[3]
    assert streamed[-1]["row"] == 8
    assert [row["row"] for row in streamed[2:5]] == [2, 3, 4]
    with pytest.raises(IndexError):
        streamed[9]


def test_streamed_rows_can_be_packed(plan_of, write_rows, encoder):
    write_rows("train.jsonl", *[chat(str(number), "x" * number) for number in range(9)])
    made = []
    for streaming in (False, True):
        plan = plan_of({"dataset": "train.jsonl", "streaming": streaming, "max_length": 60}, packing=True)
        made.append([list(pack) for pack in packed(plan, load_data(plan, encoder)).train])
    assert made[0] == made[1]


@pytest.mark.parametrize(
    "change",
    [
        lambda data, train: data.update(max_length=44),
        lambda data, train: data.update(system="be brief"),
        lambda data, train: data.update(overlong="drop"),
        lambda data, train: train.update(loss_scale="hermes"),
        lambda data, train: train.update(loss_scale=[{"name": "hermes", "kwargs": {"call_weight": 3.0}}]),
    ],
)
def test_rows_are_encoded_anew_when_something_they_depend_on_changes(plan_of, write_rows, encoder, change):
    write_rows("train.jsonl", chat("1"), chat("2"))
    data, train = {"dataset": "train.jsonl", "cache": True}, {}
    load_data(plan_of(data, **train), encoder)
    change(data, train)
    assert "made and kept" in load_data(plan_of(data, **train), encoder).facts["notes"][-1]
    assert len(list((cache_dir() / "rows").iterdir())) == 2


def test_rows_are_encoded_anew_when_the_file_of_a_loss_scale_changes(plan_of, write_rows, encoder, tmp_path):
    write_rows("train.jsonl", chat("1"), chat("2"))
    weights = tmp_path / "weights.yaml"
    scale = [{"name": "patterns", "kwargs": {"file": "weights.yaml"}}]
    told, codes = [], []
    for weight in (2.0, 2.0, 3.0):
        weights.write_text(f"b: {weight}")
        plan = plan_of({"dataset": "train.jsonl", "cache": True}, loss_scale=scale)
        told.append("made and kept" in load_data(plan, encoder).facts["notes"][-1])
        codes.append([lock for key, lock in identity(plan)["plugins"].items() if "loss_scale" in key])
    assert told == [True, False, True]
    assert codes[0] == codes[1] != codes[2]  # a run that goes on is told of it too


def test_a_tokenizer_a_template_and_the_rows_themselves_are_in_the_key(
    plan_of, write_rows, encoders, templates, model_folder
):
    write_rows("train.jsonl", chat("1"), chat("2"))
    plan = plan_of({"dataset": "train.jsonl", "cache": True})
    renamed = LightEncoder.open(model_folder(templates["chatml"], pad_token="<s>"))
    for encoder in (encoders["chatml"], encoders["phi3"], renamed):
        assert "made and kept" in load_data(plan, encoder).facts["notes"][-1]
    write_rows("train.jsonl", chat("1"), chat("3"))
    assert "made and kept" in load_data(plan, encoders["chatml"]).facts["notes"][-1]
    assert "read from" in load_data(plan, encoders["chatml"]).facts["notes"][-1]


@pytest.mark.parametrize("name", ["rows.jsonl", "offsets.bin", "entry.json"])
def test_damaged_rows_are_found_and_made_anew(plan_of, write_rows, encoder, name):
    write_rows("train.jsonl", chat("1"), chat("2"))
    plan = plan_of({"dataset": "train.jsonl", "streaming": True})
    whole = list(load_data(plan, encoder).train)
    (entry,) = (cache_dir() / "rows").iterdir()
    content = bytearray((entry / name).read_bytes())
    content[len(content) // 2] ^= 1
    (entry / name).write_bytes(content)
    data = load_data(plan, encoder)
    assert data.facts["notes"][-1].startswith("encoded rows damaged, it")
    assert list(data.train) == whole
    assert "read from" in load_data(plan, encoder).facts["notes"][-1]


@pytest.mark.parametrize("more", [{}, {"num_proc": 2}, {"streaming": True}, {"streaming": True, "num_proc": 2}])
def test_mistakes_are_told_with_their_rows_however_they_are_read(plan_of, write_rows, encoder, more):
    bad = [{"messages": [{"role": "user", "content": "q"}]} for _ in range(5)]
    write_rows("train.jsonl", chat("1"), *bad, chat("2"))
    with pytest.raises(SwiftError) as caught:
        load_data(plan_of({"dataset": "train.jsonl", **more}), encoder)
    assert [problem.place.line for problem in caught.value.problems] == [2, 3, 4]
    assert "2 more rows are wrong in this way" in caught.value.problems[-1].message
    assert '"content": "q"' in caught.value.problems[0].place.text
    assert not (cache_dir() / "rows").exists() or not list((cache_dir() / "rows").iterdir())


def test_a_streamed_file_is_checked_row_by_row(plan_of, write_rows, tmp_path):
    path = write_rows("train.jsonl", chat("1"), {"text": "a"})
    data = {"dataset": "train.jsonl", "streaming": True}
    with pytest.raises(SwiftError, match="rows of different formats"):
        read_data(plan_of(data))
    path.write_text(json.dumps(chat("1")) + '\n{"text": \n[1]\n')
    with pytest.raises(SwiftError) as caught:
        read_data(plan_of(data))
    assert [(p.place.line, p.code) for p in caught.value.problems] == [(2, "malformed-row"), (3, "malformed-row")]
    (tmp_path / "rows.json").write_text(json.dumps([chat("1")]))
    with pytest.raises(SwiftError, match=r"rows.json cannot be streamed: rows of .jsonl, .parquet files"):
        read_data(plan_of({**data, "dataset": "rows.json"}))


def test_streamed_rows_are_drawn_as_others(plan_of, write_rows):
    write_rows("train.jsonl", *[chat(str(number)) for number in range(30)])
    drawn = [
        questions(read_data(plan_of({"dataset": "train.jsonl#7", "streaming": streaming}, seed=5)).train)
        for streaming in (False, True)
    ]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 7


def test_parquet_is_streamed(plan_of, tmp_path):
    import pyarrow
    import pyarrow.parquet

    rows = [chat(str(number)) for number in range(5)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "train.parquet")
    found = [read_data(plan_of({"dataset": "train.parquet", "streaming": each})).train for each in (False, True)]
    assert list(found[0]) == list(found[1])
    assert questions(found[1]) == list("01234")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_plugin_that_fails_in_a_process_is_named(plan_of, write_rows, encoder, tmp_path):
    (tmp_path / "scale.py").write_text(
        "class Bad:\n    def get_loss_scale(self, context, context_type, is_last_round):\n"
        "        return [context], [-1.0]\n"
    )
    write_rows("train.jsonl", chat("1"))
    plan = plan_of({"dataset": "train.jsonl", "num_proc": 2}, allow_code=True, loss_scale=["./scale.py:Bad"])
    with pytest.raises(SwiftError, match="must give finite weights >= 0"):
        load_data(plan, encoder)
