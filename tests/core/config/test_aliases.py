"""Other spellings mean the same settings, and one meaning is given once."""

from __future__ import annotations

from pathlib import Path

import pytest

from swift_core.config.load import parse
from swift_core.errors import SwiftError

HERE = Path("run.yaml")
MINIMAL = "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat}\n"


@pytest.mark.parametrize(
    ("alias", "canonical"),
    [
        (MINIMAL + "training_args: {seed: 7}\n", MINIMAL + "train: {seed: 7}\n"),
        (MINIMAL + "train: {loss_config: {z_loss: 1}}\n", MINIMAL + "train: {loss_kwargs: {z_loss: 1}}\n"),
        (
            MINIMAL + "train: {dtype: float32}\n",
            "model: {model_id: demo:tiny, dtype: float32}\ndata: {dataset: demo:chat}\n",
        ),
        (
            MINIMAL + "training_args: {quantization_bit: 4}\n",
            "model: {model_id: demo:tiny, quantization_bit: 4}\ndata: {dataset: demo:chat}\ntrain: {}\n",
        ),
        ("model: {model_id: demo:tiny}\ndata: {dataset_name: demo:chat}\n", MINIMAL),
        (MINIMAL + "device: {num_gpus: 2}\n", MINIMAL + "device: {num_processes: 2}\n"),
    ],
)
def test_an_alias_means_its_canonical_key(alias: str, canonical: str) -> None:
    assert parse(alias, HERE).settings == parse(canonical, HERE).settings


def test_an_alias_remembers_how_it_was_written() -> None:
    config = parse(MINIMAL + "training_args:\n  loss_config: {z_loss: 1}\n", HERE)

    assert config.origins["train"].note == "written as training_args"
    assert config.origins["train.loss_kwargs"].note == "written as train.loss_config"
    assert str(config.place("train.loss_kwargs.z_loss")) == "run.yaml:4:25"


def test_shorthands_are_set_aside_for_the_parts() -> None:
    text = "model: {model_id: demo:tiny}\ndata: {dataset: demo:preference, task_type: preference}\n"
    config = parse(text + "train: {lora_rank: 8, lora_alpha: 16, beta: 0.2}\n", HERE, ["train.beta=0.3"])

    assert config.shorthands == {
        "train.lora_rank": 8,
        "train.lora_alpha": 16,
        "train.beta": 0.3,
        "data.task_type": "preference",
    }
    assert config.settings.train == parse(MINIMAL, HERE).settings.train


@pytest.mark.parametrize(
    "override", ["train.seed=2", "training_args.seed=2"], ids=["canonical override", "override by the alias"]
)
def test_the_command_line_wins_over_an_alias_of_the_file(override: str) -> None:
    config = parse(MINIMAL + "training_args: {seed: 1, max_steps: 5}\n", HERE, [override])

    assert (config.settings.train.seed, config.settings.train.max_steps) == (2, 5)


def test_an_alias_on_the_command_line_wins_over_the_canonical_key_of_the_file() -> None:
    text = "model: {model_id: demo:tiny, dtype: float32}\ndata: {dataset: demo:chat}\ntrain: {seed: 3}\n"

    config = parse(text, HERE, ["train.dtype=bfloat16"])

    assert config.settings.model.dtype == "bfloat16"
    assert config.settings.train.seed == 3


@pytest.mark.parametrize("first", ["train.dtype=float32", "model.dtype=float32"])
def test_one_meaning_twice_on_the_command_line_is_an_error_that_names_both_places(first: str) -> None:
    with pytest.raises(SwiftError) as caught:
        parse(MINIMAL, HERE, [first, "train.dtype=bfloat16"])

    (problem,) = caught.value.problems
    assert problem.code == "given-twice"
    assert str(problem.place).startswith("command line:2:")
    assert "command line:1:" in problem.message
