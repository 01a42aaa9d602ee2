"""What was drawn survives a kill at any byte, and is not mixed with another job's."""

import pytest

from swift_core.errors import SwiftError
from swift_core.sampling.store import Store

JOB = {"plan": "abc", "shard": [0, 1]}
ANSWERS = {"prompt": "frag\u00e9", "answers": [{"text": "a\nb", "reward": None}]}


def test_every_cut_leaves_whole_lines_only(tmp_path):
    path = tmp_path / "out.part"
    store = Store(path, JOB)
    for row in (3, 1, 2):
        store.add(row, ANSWERS)
    whole = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(ends[0], len(whole) + 1):
        path.write_bytes(whole[:length])
        done = Store(path, JOB).done
        assert list(done) == [3, 1, 2][: sum(end <= length for end in ends) - 1]
        assert all(value == ANSWERS for value in done.values())


def test_a_row_that_was_written_twice_counts_once(tmp_path):
    store = Store(tmp_path / "out.part", JOB)
    store.add(1, ANSWERS)
    store.add(1, {"prompt": "other", "answers": []})
    assert Store(tmp_path / "out.part", JOB).done == {1: ANSWERS}


def test_answers_of_another_job_are_refused(tmp_path):
    Store(tmp_path / "out.part", JOB).add(1, ANSWERS)
    with pytest.raises(SwiftError, match="another job"):
        Store(tmp_path / "out.part", {**JOB, "plan": "xyz"})
