"""`swift cache`: what is kept, and its removal."""

import json

import pytest
from click.testing import CliRunner

from swift_core.assemble.data.encode import Tally
from swift_core.assemble.data.row_cache import keep
from swift_core.cli.cache import command
from swift_core.errors import SwiftError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with two entries of rows, one of them damaged, and something else."""
    monkeypatch.setenv("SWIFT_CACHE", str(tmp_path))
    for key in ("aa11", "ab22"):
        keep(key, f"{key}.jsonl", [({"input_ids": [1, 2], "row": 0}, Tally())])
    (tmp_path / "rows" / "ab22" / "entry.json").write_text("{")
    (tmp_path / "merged" / "model").mkdir(parents=True)
    (tmp_path / "merged" / "model" / "weights").write_bytes(b"x" * 2_000_000)
    return tmp_path


def test_entries_are_listed_with_size_and_what_they_are_of(cache):
    lines = CliRunner().invoke(command, ["list"]).output.splitlines()
    assert lines[0].startswith(f"{cache}: 3 entries, 2.00 MB")
    assert lines[1] == "  merged/model  2.00 MB"
    assert lines[2].startswith("  rows/aa11  0.00 MB  1 rows of aa11.jsonl, 20")
    assert lines[3] == "  rows/ab22  0.00 MB  damaged"
    listed = json.loads(CliRunner().invoke(command, ["list", "--json"]).output)
    assert [entry["name"] for entry in listed["entries"]] == ["merged/model", "rows/aa11", "rows/ab22"]


def test_an_entry_is_removed_by_the_beginning_of_its_name(cache):
    done = CliRunner().invoke(command, ["remove", "rows/aa"])
    assert done.output.startswith("removed rows/aa11, ")
    assert sorted(path.name for path in (cache / "rows").iterdir()) == ["ab22"]


def test_all_of_it_can_be_removed(cache):
    assert CliRunner().invoke(command, ["remove", "--all"]).exit_code == 0
    assert CliRunner().invoke(command, ["list"]).output.startswith(f"{cache}: 0 entries, 0.00 MB")


@pytest.mark.parametrize(
    ("name", "message"),
    [("rows/a", "begins several entries"), ("rows/zz", "no entry of the cache is called 'rows/zz'")],
)
def test_what_is_not_one_entry_is_an_error_and_nothing_is_removed(cache, name, message):
    with pytest.raises(SwiftError, match=message):
        CliRunner().invoke(command, ["remove", name], catch_exceptions=False)
    assert len(list((cache / "rows").iterdir())) == 2


@pytest.mark.parametrize("arguments", [[], ["rows/aa11", "--all"]])
def test_names_or_all_must_be_given(cache, arguments):
    assert CliRunner().invoke(command, ["remove", *arguments]).exit_code == 2
