"""`key=value` pairs of the command line."""

import pytest

from swift_core.config.overrides import read_values
from swift_core.errors import SwiftError


def test_pairs_are_read_as_one_mapping_and_all_their_mistakes_told():
    assert read_values(["a=1", "b.c=[x, 2.5]", "b.d=no"]) == {"a": 1, "b": {"c": ["x", 2.5], "d": "no"}}
    assert read_values([]) == {}
    with pytest.raises(SwiftError) as error:
        read_values(["a=1", "bare", "a=2"])
    assert [problem.code for problem in error.value.problems] == ["override-form", "given-twice"]
