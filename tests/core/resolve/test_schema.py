"""The JSON schema accepts what the loader accepts and knows the options of installed plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from swift_core.config.load import parse
from swift_core.plugins.registry import installed
from swift_core.resolve.schema import run_schema

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))
HEAD: dict[str, Any] = {"model": {"model_id": "demo:tiny"}, "data": {"dataset": "demo:chat"}}


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    """Return a validator of the schema of this environment."""
    schema = run_schema(installed())
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def read(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid(validator: Draft7Validator, path: Path) -> None:
    parse(path.read_text(encoding="utf-8"), path)

    assert [error.message for error in validator.iter_errors(read(path.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize(
    "section",
    [
        {"train": {"loss_type": "./my_loss.py:Focal", "loss_kwargs": {"gamma": 2}}},
        {"train": {"loss_type": "acme-losses:focal"}},
        {"train": {"stage": "simpo", "beta": 2.5}},
        {"train": {"callbacks": ["./a.py:B", {"name": "./a.py:C", "kwargs": {"x": 1}}]}},
        {"training_args": {"lora_rank": 8, "dtype": "float32", "loss_config": {"z_loss": 1e-4}}},
        {"reward": {"orms": ["math", {"name": "math", "weight": 0.5}]}},
        {"device": {"num_gpus": 2, "parallel_method": "ddp"}},
        {"plugins": {"prefer": {"loss": {"focal": "acme"}}, "allow": ["acme-*"]}},
    ],
)
def test_what_the_loader_takes_is_valid(validator: Draft7Validator, section: dict[str, Any]) -> None:
    assert [error.message for error in validator.iter_errors({**HEAD, **section})] == []


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"model": {"model_id": "demo:tiny"}, "data": {}},
        {**HEAD, "train": {"max_steps": 0}},
        {**HEAD, "train": {"max_steps": "10"}},
        {**HEAD, "train": {"learning_rate": 0}},
        {**HEAD, "train": {"lr": 1e-4}},
        {**HEAD, "train": {"loss_type": "nope"}},
        {**HEAD, "train": {"loss_type": "dpo", "loss_kwargs": {"betta": 0.1}}},
        {**HEAD, "train": {"loss_type": "dpo", "loss_kwargs": {"beta": "0.1"}}},
        {**HEAD, "train": {"optimizer_kwargs": {"rank": 3}}},
        {**HEAD, "train": {"optimizer_type": "galore_adamw", "optimizer_kwargs": {"rank": "many"}}},
        {**HEAD, "train": {"tuner_kwargs": {"lora_rnk": 3}}},
        {**HEAD, "reward": {"orms": [{"name": "math", "kwargs": {"tolerence": 1}}]}},
        {**HEAD, "model": {"model_id": "demo:tiny", "quantization_bit": 3}},
    ],
)
def test_what_the_loader_or_the_plan_refuses_is_not_valid(validator: Draft7Validator, document: dict[str, Any]) -> None:
    assert list(validator.iter_errors(document))


def test_every_key_has_its_help(validator: Draft7Validator) -> None:
    definitions = validator.schema["definitions"]

    for name, definition in definitions.items():
        for key, option in definition["properties"].items():
            assert option.get("description") or "$ref" in option, f"{name}.{key} has no help"


def test_the_help_of_an_option_is_that_of_its_plugin(validator: Draft7Validator) -> None:
    rules = validator.schema["definitions"]["TrainSettings"]["allOf"]
    (options,) = [
        rule["then"]["properties"]["loss_kwargs"]
        for rule in rules
        if rule["if"]["properties"].get("loss_type") == {"const": "dpo"}
    ]

    assert options["properties"]["beta"]["description"].startswith("Pull towards the reference model")
    assert options["properties"]["beta"]["default"] == 0.1
