"""JSON schema: 1 when a response holds JSON that keeps a schema, else 0.

    score = 1 if valid(last JSON value of response, schema) else 0

The schema is an option, or the column `json_schema` gives one for each row. The standard: json-schema.org, draft
2020-12 unless the schema names another in `$schema`. References to the network are not followed. Needs the package
`jsonschema`: pip install 'swift-reward-zoo[json-schema]'.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swift_reward_zoo._batch import check_lengths, shown
from swift_reward_zoo._json import NoJSONError, find_json
from swift_reward_zoo.answer._extract import stated_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest


@dataclass(frozen=True, kw_only=True)
class JsonSchema:
    """Whether the JSON of a response keeps a schema: 1.0 or 0.0."""

    schema: dict[str, Any] = field(default_factory=dict)
    """The schema of every row; empty where the column `json_schema` gives each row its own."""

    whole: bool = False
    """True asks for a response that is JSON and nothing else; False also finds it in a fence or after prose."""

    def __post_init__(self) -> None:
        """Check the options."""
        _validator(self.schema, "schema")

    def __call__(self, infer_requests: Sequence[InferRequest], json_schema: Sequence[Any] | None = None) -> list[float]:
        """Return 1.0 where the JSON is valid, else 0.0; a response without JSON scores 0.0.

        Raises:
            ValueError: There is no schema, one is not valid or refers to what is not there, or there are not as many
                as responses.
        """
        check_lengths("json_schema", infer_requests, {"json_schema": json_schema})
        if json_schema is None and not self.schema and infer_requests:
            raise ValueError("json_schema needs the option schema or the column json_schema, and has neither")
        schemas = [self.schema] * len(infer_requests) if json_schema is None else json_schema
        checks = _validators(schemas)
        return [
            float(self._keeps(row, request.response or "", check))
            for row, (request, check) in enumerate(zip(infer_requests, checks, strict=True))
        ]

    def _keeps(self, row: int, response: str, validator: Any) -> bool:
        try:
            value = find_json(response if self.whole else stated_answer(response), exact=False, whole=self.whole)
        except NoJSONError:
            return False
        try:
            return bool(validator.is_valid(value))
        except importlib.import_module("referencing.exceptions").Unresolvable as error:
            raise ValueError(f"json_schema of row {row} refers to what is not in it: {error}") from None


def _validators(schemas: Sequence[Any]) -> list[Any]:
    """Return one validator per row; equal schemas share it."""
    made: dict[str, Any] = {}
    validators = []
    for row, schema in enumerate(schemas):
        key = schema if isinstance(schema, str) else json.dumps(schema, sort_keys=True, default=repr)
        if key not in made:
            made[key] = _validator(schema, f"json_schema of row {row}")
        validators.append(made[key])
    return validators


def _validator(schema: object, what: str) -> Any:
    """Return a validator that fetches nothing; raise ValueError when the schema is none."""
    try:
        jsonschema, referencing = importlib.import_module("jsonschema"), importlib.import_module("referencing")
    except ImportError:
        raise ValueError("json_schema needs jsonschema: pip install 'swift-reward-zoo[json-schema]'") from None
    try:
        value = json.loads(schema) if isinstance(schema, str) else schema
        if not isinstance(value, (Mapping, bool)):
            raise ValueError("it is no object")
        kind = jsonschema.validators.validator_for(value, default=jsonschema.Draft202012Validator)
        kind.check_schema(value)
    except (ValueError, RecursionError, jsonschema.SchemaError) as error:
        reason = getattr(error, "message", str(error))
        raise ValueError(f"{what} is no JSON schema: {shown(schema)} ({reason})") from None
    return kind(value, registry=referencing.Registry())
