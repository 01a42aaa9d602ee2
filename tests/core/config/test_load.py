"""What a run file means, and where each value of it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from swift_core.config.load import BadRunFileError, load, parse
from swift_core.contracts.settings import PartRef, RewardRef
from swift_core.errors import SwiftError

MINIMAL = "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat}\n"
HERE = Path("run.yaml")


def problems_of(text: str, *overrides: str) -> list[str]:
    with pytest.raises(SwiftError) as caught:
        parse(text, HERE, overrides)
    return [problem.code for problem in caught.value.problems]


def test_the_example_of_the_documentation_reads_as_it_stands() -> None:
    text = (
        MINIMAL + "train: {stage: dpo, loss_type: dpo, loss_kwargs: {beta: 0.2}, "
        "optimizer_type: galore_adamw, optimizer_kwargs: {lr: 2e-5, rank: 64}}\n"
    )

    train = parse(text, HERE).settings.train

    assert (train.stage, train.loss_type, train.optimizer_type) == ("dpo", "dpo", "galore_adamw")
    assert train.loss_kwargs == {"beta": 0.2}
    assert train.optimizer_kwargs == {"lr": 2e-5, "rank": 64}


@pytest.mark.parametrize(
    ("written", "meant"), [("1e-4", 1e-4), ("1E-4", 1e-4), ("3", 3.0), (".5", 0.5), ("1_0", 10.0), ("0o17", 15.0)]
)
def test_numbers_are_those_of_yaml_1_2(written: str, meant: float) -> None:
    value = parse(MINIMAL + f"train: {{learning_rate: {written}}}\n", HERE).settings.train.learning_rate

    assert value == meant


@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "n", "y", "2026-11-21", "12:30:45"])
def test_words_that_yaml_1_1_converts_are_text(word: str) -> None:
    settings = parse(MINIMAL + f"train: {{run_name: {word}}}\n", HERE).settings

    assert settings.train.run_name == word


def test_an_empty_section_has_its_defaults() -> None:
    assert parse(MINIMAL + "train:\n", HERE).settings == parse(MINIMAL, HERE).settings


def test_a_plain_string_in_a_list_of_parts_is_a_name() -> None:
    text = (
        MINIMAL + "train: {callbacks: [a, {name: b, kwargs: {c: 1}}]}\nreward: {orms: [math, {name: x, weight: 2}]}\n"
    )

    settings = parse(text, HERE).settings

    assert settings.train.callbacks == [PartRef(name="a"), PartRef(name="b", kwargs={"c": 1})]
    assert settings.reward.orms == [RewardRef(name="math"), RewardRef(name="x", weight=2)]


def test_every_value_and_key_knows_its_place() -> None:
    config = parse("# a comment\nmodel:\n  model_id: demo:tiny\ndata: {dataset: [demo:chat,\n  demo:chat]}\n", HERE)

    assert str(config.place("model.model_id")) == "run.yaml:3:13"
    assert str(config.key_places["model.model_id"]) == "run.yaml:3:3"
    assert str(config.place("data.dataset.1")) == "run.yaml:5:3"
    assert str(config.place("data.max_length")) == "run.yaml:4:7"  # not written: its section
    assert config.place("output_dir") is None


def test_anchors_and_merges_are_written_out() -> None:
    text = MINIMAL + "train:\n  loss_kwargs: &shared {a: 1, b: 2}\n  tuner_kwargs:\n    <<: *shared\n    b: 3\n"

    train = parse(text, HERE).settings.train

    assert train.loss_kwargs == {"a": 1, "b": 2}
    assert train.tuner_kwargs == {"a": 1, "b": 3}


def test_an_anchor_given_twice_means_the_nearest_one_above() -> None:
    text = MINIMAL + "train:\n  loss_kwargs: &a {x: 1}\n  tuner_kwargs: &a {x: 2}\n  optimizer_kwargs: *a\n"

    assert parse(text, HERE).settings.train.optimizer_kwargs == {"x": 2}


def test_a_bomb_of_aliases_is_refused_quickly() -> None:
    levels = "".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 9))
    assert problems_of(MINIMAL + f"train:\n  l0: &l0 [x]\n{levels}") == ["yaml-syntax"]


@pytest.mark.parametrize("opening", ["[", "{a: "])
def test_deep_nesting_is_a_problem_and_no_traceback(opening: str) -> None:
    assert problems_of(MINIMAL + "train: " + opening * 5000) == ["yaml-syntax"]


def test_an_override_wins_over_the_file_and_says_so() -> None:
    config = parse(MINIMAL + "train: {loss_kwargs: {beta: 0.1}, seed: 1}\n", HERE, ["train.loss_kwargs.beta=0.2"])

    assert config.settings.train.loss_kwargs == {"beta": 0.2}
    assert config.settings.train.seed == 1
    assert config.origins["train.loss_kwargs.beta"].kind == "command line"
    assert str(config.place("train.loss_kwargs.beta")) == "command line:1:24"
    assert str(config.key_places["train.loss_kwargs.beta"]) == "command line:1:19"


def test_an_override_is_read_as_yaml() -> None:
    config = parse(MINIMAL, HERE, ["data.dataset=[demo:chat, demo:chat#3]", "train.run_name=no", "data.shuffle=false"])

    assert config.settings.data.dataset == ["demo:chat", "demo:chat#3"]
    assert config.settings.train.run_name == "no"
    assert config.settings.data.shuffle is False


def test_an_override_may_hold_equals_signs_and_reach_into_a_list() -> None:
    config = parse(MINIMAL + "train: {callbacks: [a]}\n", HERE, ["train.run_name=a=b", "train.callbacks.0.kwargs.x=1"])

    assert config.settings.train.run_name == "a=b"
    assert config.settings.train.callbacks == [PartRef(name="a", kwargs={"x": 1})]


def test_an_override_with_a_whole_mapping_replaces_it() -> None:
    config = parse(MINIMAL + "train: {loss_kwargs: {beta: 0.1}}\n", HERE, ["train.loss_kwargs={label_smoothing: 0.2}"])

    assert config.settings.train.loss_kwargs == {"label_smoothing": 0.2}


def test_files_with_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())

    assert load(path).settings.model.model_id == "demo:tiny"


@pytest.mark.parametrize(
    ("name", "code"),
    [("missing.yaml", "run-file-missing"), ("folder", "run-file-is-folder"), ("big.yaml", "run-file-too-large"),
     ("a\0b", "run-file-unreadable")],
)  # fmt: skip
def test_what_is_no_run_file_is_named(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "big.yaml").write_bytes(b"#" * 100_001)

    with pytest.raises(SwiftError) as caught:
        load(tmp_path / name)

    assert [problem.code for problem in caught.value.problems] == [code]


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text(MINIMAL)

    with pytest.raises(SwiftError, match=r"Did you mean .*train\.yaml\?"):
        load(tmp_path / "trian.yaml")


def test_a_folder_names_the_run_files_in_it(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text(MINIMAL)

    with pytest.raises(SwiftError, match=r"give a file in it: .*train\.yaml"):
        load(tmp_path)


def test_problems_come_in_the_order_of_the_file_and_the_command_line_last() -> None:
    text = "data: {dataset: demo:chat}\ntrain: {seed: x, stag: y}\nmodel: {model_id: 5}\n"

    with pytest.raises(SwiftError) as caught:
        parse(text, HERE, ["train.lr=1"])

    places = [str(problem.place) for problem in caught.value.problems]
    assert places == ["run.yaml:2:15", "run.yaml:2:18", "run.yaml:3:19", "command line:1:7"]


def test_what_a_bad_file_probably_meant_is_kept_for_the_search_for_more_mistakes() -> None:
    train = "train: {optim: sgd, beta: 1, nonsense: 2}"
    text = f"modl: {{model_id: demo:tiny}}\ndata: {{dataset: demo:chat, max_len: 9}}\n{train}\n"
    with pytest.raises(BadRunFileError) as caught:
        parse(text, Path("run.yaml"))
    assert [problem.code for problem in caught.value.problems] == ["unknown-key"] * 4
    mended = caught.value.mended
    assert mended is not None
    assert mended.settings.model.model_id == "demo:tiny"
    assert mended.settings.data.max_length == 9
    assert mended.settings.train.optimizer_type == "sgd"
    assert mended.shorthands == {"train.beta": 1}
    assert str(mended.place("train.optimizer_type")) == "run.yaml:3:16"


@pytest.mark.parametrize("wrong", ["train: {stage: [dpo]}", "train: {lr: 1, tuner_strategy: 3}", "trian: {stage: 1}"])
def test_nothing_is_guessed_where_others_hang_on_what_is_wrong(wrong: str) -> None:
    with pytest.raises(BadRunFileError) as caught:
        parse(f"model: {{model_id: demo:tiny}}\ndata: {{dataset: demo:chat}}\n{wrong}\n", Path("run.yaml"))
    assert caught.value.mended is None


def test_a_wrong_value_under_a_wrong_key_is_told_with_the_key() -> None:
    text = "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat}\ntrain: {lr: fast}\n"
    with pytest.raises(BadRunFileError) as caught:
        parse(text, Path("run.yaml"))
    assert [(problem.code, problem.place.column) for problem in caught.value.problems if problem.place] == [
        ("unknown-key", 9),
        ("wrong-value", 13),
    ]
