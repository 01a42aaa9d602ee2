"""Files, folders, draws and demo names, and what is said of rows that cannot be read."""

from __future__ import annotations

import json

import pytest

from swift_core.assemble.data.files import read_file
from swift_core.assemble.data.sources import needs_network, read
from swift_core.config.data_files import Reference, data_files
from swift_core.errors import Place, SwiftError

ROWS = [{"text": "a, \"b\"\nc"}, {"text": "é"}, {"text": "d"}]  # fmt: skip


@pytest.fixture
def reference(tmp_path):
    return lambda text, seed=1: Reference(text, tmp_path, Place("run.yaml", 2, 3), seed)


def problem_of(reference):
    with pytest.raises(SwiftError) as caught:
        read(reference)
    (problem,) = caught.value.problems
    return problem


def write_all(folder):
    """Write the same rows in every file type; return each with the lines its rows start on."""
    import csv

    import pyarrow
    import pyarrow.parquet

    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "b.json").write_text(json.dumps(ROWS, indent=1))
    (folder / "lines.json").write_text("\n".join(json.dumps(row) for row in ROWS))
    for name, delimiter in (("c.csv", ","), ("d.tsv", "\t")):
        with (folder / name).open("w", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerows([["text"], *([row["text"]] for row in ROWS)])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), folder / "e.parquet")
    return {
        "a.jsonl": [1, 2, 3],
        "b.json": [2, 5, 8],
        "lines.json": [1, 2, 3],
        "c.csv": [2, 4, 5],
        "d.tsv": [2, 4, 5],
        "e.parquet": [1, 2, 3],
    }


def test_every_file_type_gives_the_same_rows_with_their_lines(tmp_path):
    for name, lines in write_all(tmp_path).items():
        rows = read_file(tmp_path / name, name)
        assert [dict(row.values) for row in rows] == ROWS
        assert [row.line for row in rows] == lines


def test_folder_is_the_files_in_it_by_name(tmp_path, reference):
    folder = tmp_path / "data"
    folder.mkdir()
    write_all(folder)
    (folder / "dataset_info.json").write_text("{}")
    (folder / "notes.md").write_text("x")
    assert [path.name for path in data_files(folder)] == [
        "a.jsonl",
        "b.json",
        "c.csv",
        "d.tsv",
        "e.parquet",
        "lines.json",
    ]
    rows = read(reference("data/")).rows
    assert len(rows) == 18
    assert rows[0].where == "data/a.jsonl:1"


def test_draw_depends_on_the_seed_and_keeps_the_order(tmp_path, reference):
    (tmp_path / "n.jsonl").write_text("".join(f'{{"text": "{n}"}}\n' for n in range(50)))
    lines = [row.line for row in read(reference("n.jsonl#10")).rows]
    assert len(set(lines)) == 10
    assert lines == sorted(lines)
    assert lines == [row.line for row in read(reference("n.jsonl#10")).rows]
    assert lines != [row.line for row in read(reference("n.jsonl#10", seed=2)).rows]


def test_file_whose_name_has_a_hash_is_read_whole(tmp_path, reference):
    (tmp_path / "n.jsonl").write_text('{"text": "x"}\n' * 3)
    (tmp_path / "n.jsonl#2").mkdir()
    (tmp_path / "n.jsonl#2" / "a.jsonl").write_text('{"text": "x"}\n')
    assert len(read(reference("n.jsonl#2")).rows) == 1


@pytest.mark.parametrize("count", [0, 4])
def test_draw_of_more_rows_than_there_are_is_an_error(tmp_path, reference, count):
    (tmp_path / "n.jsonl").write_text('{"text": "x"}\n' * 3)
    problem = problem_of(reference(f"n.jsonl#{count}"))
    assert problem.message == f"n.jsonl#{count} asks for {count} rows and there are 3."
    assert problem.place == Place("run.yaml", 2, 3)


def test_demo_data_has_rows_and_needs_no_file(reference):
    source = read(reference("demo:chat#5"))
    assert len(source.rows) == 5
    assert "messages" in source.rows[0].values
    assert source.rows[0].where.startswith("demo:chat:")
    assert problem_of(reference("demo:chess")).code == "unknown-demo"


@pytest.mark.parametrize(
    ("name", "content", "place", "words"),
    [
        ("a.jsonl", '{"text": "x"}\n{"text": \n', "a.jsonl:2:10", "not valid JSON"),
        ("a.jsonl", '{"text": "x"}\n[1]\n', "a.jsonl:2:1", "this one is a list"),
        ("a.json", '[{"text": "x"},\n {"text" "y"}]', "a.json:2:10", "not valid JSON"),
        ("a.json", '[{"text": "x"}\n {"text": "y"}]', "a.json:2:2", "expected a comma"),
        ("a.json", '[{"text": "x"},\n]', "a.json:1:15", "expected a comma and another row"),
        ("a.json", '[{"text": "x"}', "a.json:1:15", "expected a comma"),
        ("a.json", '[\n"x"]', "a.json:2:1", "this one is text"),
        ("a.csv", "text,label\nx,1\ny\n", "a.csv:3:1", "has 1 columns, and the first line names 2"),
        ("a.csv", 'text\n"x\n', "a.csv:2:1", "not a valid table"),
    ],
)
def test_row_that_cannot_be_read_is_told_with_its_place(tmp_path, name, content, place, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(SwiftError) as caught:
        read_file(tmp_path / name, name)
    (problem,) = caught.value.problems
    assert str(problem.place) == place
    assert words in problem.message


def test_several_bad_lines_are_told_together(tmp_path):
    (tmp_path / "a.jsonl").write_text("{\n{}\n{\n{\n{\n{\n")
    with pytest.raises(SwiftError) as caught:
        read_file(tmp_path / "a.jsonl", "a.jsonl")
    assert [problem.place.line for problem in caught.value.problems] == [1, 3, 4]
    assert caught.value.problems[-1].message.endswith("2 more rows are wrong in this way.")


def test_file_that_is_no_text_is_an_error(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "\xff"}')
    with pytest.raises(SwiftError, match="not-utf8"):
        read_file(tmp_path / "a.jsonl", "a.jsonl")
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(SwiftError, match="cannot be read as Parquet"):
        read_file(tmp_path / "a.parquet", "a.parquet")


def test_byte_order_mark_is_no_part_of_the_data(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbftext\nx\n")
    assert read_file(tmp_path / "a.csv", "a.csv")[0].values == {"text": "x"}


def test_what_holds_no_rows_is_an_error(tmp_path, reference):
    (tmp_path / "a.jsonl").write_text("\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.docx").write_text("x")
    assert problem_of(reference("a.jsonl")).message == "a.jsonl has no rows."
    assert problem_of(reference("empty")).code == "no-rows"
    assert problem_of(reference("a.docx")).code == "unknown-file-type"
    assert problem_of(reference("missing.jsonl")).code == "missing-path"


def test_hub_data_is_told_from_files(tmp_path, reference):
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "name").mkdir()
    assert needs_network(reference("acme/gsm8k"))
    assert needs_network(reference("acme/gsm8k:main#10"))
    assert not needs_network(reference("owner/name"))
    assert not needs_network(reference("demo:chat"))


def test_hub_rows_come_through_datasets(reference, monkeypatch):
    import datasets

    asked = []

    def load_dataset(name, subset, *, split):
        asked.append((name, subset, split))
        return datasets.Dataset.from_list([{"text": "x"}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert read(reference("acme/words:main")).rows[0].values == {"text": "x"}
    assert asked == [("acme/words", "main", "train")]


def test_hub_that_does_not_answer_gives_the_reason(reference, monkeypatch):
    import datasets

    def load_dataset(*_, **__):
        raise ConnectionError("no route to host\nmore")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    problem = problem_of(reference("acme/words"))
    assert problem.code == "dataset-unavailable"
    assert problem.message.endswith("cannot be had as a hub data set: no route to host.")
