import pytest

from swift_core.artifacts.mask_preview import MAX_TOKENS, mask_preview


@pytest.fixture
def encoder(make_result):
    return make_result().parts.encoder


def test_a_row_is_shown_in_pieces_by_what_is_trained(encoder):
    row = {"input_ids": [*b"2+2?4", 0], "labels": [-100, -100, -100, -100, ord("4"), 0]}
    (entry,) = mask_preview([row], encoder)
    assert entry["pieces"] == [
        {"text": "2+2?", "trained": False, "weight": 1.0},
        {"text": "4<end>", "trained": True, "weight": 1.0},
    ]
    assert (entry["title"], entry["num_tokens"], entry["num_trained"], entry["num_hidden"]) == ("row 1", 6, 2, 0)


def test_a_character_of_several_tokens_stays_whole(encoder):
    ids = list("é".encode())
    (entry,) = mask_preview([{"input_ids": ids, "labels": ids}], encoder)
    assert entry["pieces"] == [{"text": "é", "trained": True, "weight": 1.0}]


def test_tokens_of_different_weight_are_told_apart(encoder):
    row = {"input_ids": list(b"abc"), "labels": [-100, *b"bc"], "loss_scale": [0.0, 1.0, 2.0]}
    (entry,) = mask_preview([row], encoder)
    assert [(piece["text"], piece["weight"]) for piece in entry["pieces"]] == [("a", 1.0), ("b", 1.0), ("c", 2.0)]


def test_a_pair_is_shown_as_chosen_and_rejected(encoder):
    row = {"prompt_ids": list(b"2+2?"), "chosen_ids": [*b"4", 0], "rejected_ids": [*b"22", 0]}
    chosen, rejected = mask_preview([row], encoder)
    assert [piece["text"] for piece in chosen["pieces"]] == ["2+2?", "4<end>"]
    assert [piece["text"] for piece in rejected["pieces"]] == ["2+2?", "22<end>"]
    assert (rejected["title"], rejected["num_trained"]) == ("row 1, rejected", 3)


def test_a_labelled_answer_says_whether_it_is_wanted(encoder):
    rows = [
        {"prompt_ids": list(b"2+2?"), "completion_ids": [*b"4", 0], "desirable": wanted} for wanted in (True, False)
    ]
    entries = mask_preview(rows, encoder)
    assert [entry["title"] for entry in entries] == ["row 1, desirable", "row 2, undesirable"]
    assert [piece["text"] for piece in entries[0]["pieces"]] == ["2+2?", "4<end>"]


def test_the_hidden_end_of_a_long_row_is_counted(encoder):
    ids = [65] * (MAX_TOKENS + 7)
    (entry,) = mask_preview([{"input_ids": ids, "labels": ids}], encoder)
    assert (entry["num_tokens"], entry["num_hidden"]) == (MAX_TOKENS + 7, 7)
    assert entry["pieces"][0]["text"] == "A" * MAX_TOKENS


def test_only_the_first_rows_are_shown(encoder):
    rows = [{"input_ids": [65], "labels": [65]}] * 9
    assert [entry["title"] for entry in mask_preview(rows, encoder)] == ["row 1", "row 2", "row 3"]


def test_rows_of_another_make_are_not_guessed_at(encoder):
    assert mask_preview([{"pixels": []}], encoder) == []
