import sys

import pytest

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.form.json_schema import JsonSchema

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ('{"name": "Ann", "age": 3}', 1.0),
        ('{"name": "Ann", "age": 3.0}', 1.0),
        ('Here:\n```json\n{"name": "Ann"}\n```', 1.0),
        ('<think>{}</think><answer>{"name": "Ann"}</answer>', 1.0),
        ('{"name": "Ann", "age": 3.5}', 0.0),
        ('{"name": "Ann", "age": true}', 0.0),
        ('{"age": 3}', 0.0),
        ('{"name": "Ann", "job": "cook"}', 0.0),
        ('{"name": "Ann", "name": "Bob"}', 0.0),
        ('{"name": "Ann"', 0.0),
        ("Ann", 0.0),
        ("", 0.0),
    ],
)
def test_valid_json_scores_one(grade, response, score):
    assert grade(JsonSchema(schema=SCHEMA), response) == score


def test_the_whole_response_may_have_to_be_json(grade):
    assert grade(JsonSchema(schema=SCHEMA, whole=True), ' {"name": "Ann"}\n') == 1.0
    assert grade(JsonSchema(schema=SCHEMA, whole=True), 'Here: {"name": "Ann"}') == 0.0


def test_a_column_gives_each_row_its_schema():
    requests = [InferRequest(messages=[], response="[1]")] * 3
    schemas = [{"type": "array"}, {"type": "object"}, '{"type": "array"}']
    assert JsonSchema()(requests, json_schema=schemas) == [1.0, 0.0, 1.0]


def test_without_a_schema_there_is_nothing_to_keep(grade):
    with pytest.raises(ValueError, match=r"^json_schema needs the option schema or the column json_schema"):
        grade(JsonSchema(), "{}")


@pytest.mark.parametrize("schema", [{"type": "objekt"}, "{", "[]", None, 7])
def test_a_row_whose_schema_is_none_is_named(schema):
    with pytest.raises(ValueError, match=r"^json_schema of row 1 is no JSON schema: "):
        JsonSchema()([InferRequest(messages=[], response="{}")] * 2, json_schema=[{}, schema])


def test_an_option_that_is_no_schema_is_refused():
    with pytest.raises(ValueError, match=r"^schema is no JSON schema: \{'type': 7\} "):
        JsonSchema(schema={"type": 7})


def test_references_to_the_network_are_not_followed(grade):
    with pytest.raises(ValueError, match=r"^json_schema of row 0 refers to what is not in it: "):
        grade(JsonSchema(schema={"$ref": "https://example.invalid/schema.json"}), "{}")


def test_references_within_the_schema_are(grade):
    schema = {"$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "$ref": "#/$defs/tree"}
    assert grade(JsonSchema(schema=schema), "[[], [[]]]") == 1.0
    assert grade(JsonSchema(schema=schema), "[[], [7]]") == 0.0


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(ValueError, match=r"pip install 'swift-reward-zoo\[json-schema\]'$"):
        JsonSchema(schema=SCHEMA)
