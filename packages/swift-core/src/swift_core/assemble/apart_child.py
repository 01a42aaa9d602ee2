"""What runs in the worker of a reward or metric: it imports the plugin, says what it takes, and answers items.

Items are plain data, and so are answers.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swift_core.assemble.rewards import adapt_reward, checked_scores, checked_steps, result_of
from swift_core.contracts.metric import Generations
from swift_core.contracts.models import building_in
from swift_core.contracts.plugin import PluginSpec
from swift_core.contracts.reward import InferRequest, RewardScores, failures_reported
from swift_core.plugins.building import build
from swift_core.plugins.identity import content_hash
from swift_core.plugins.loading import load


class Server:
    """Answers items; `info` is what the plugin says of itself."""

    def __init__(self, answer: Callable[[Any], Any], info: Mapping[str, Any]) -> None:
        """Take what answers."""
        self._answer = answer
        self.info = dict(info)

    def __call__(self, item: Any) -> Any:
        """Return the answer to one item."""
        return self._answer(item)


def _let_libraries_be_imported() -> None:
    """Say where temporary files would go: torch and transformers want to know on import, and looking fails here."""
    tempfile.tempdir = os.environ.get("TMPDIR", "/tmp")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", tempfile.tempdir)


def serve(told: Mapping[str, Any]) -> Server:
    """Import and build the plugin that the host names; whether it may run, the host has decided."""
    _let_libraries_be_imported()
    spec = PluginSpec(**(told["plugin"] | {"path": Path(told["plugin"]["path"]) if told["plugin"]["path"] else None}))
    with building_in(Path.cwd(), told["args"]):
        plugin = build(load(spec, {}, allow_code=True), told["options"])
    is_metric, checked = told["kind"] == "metric", checked_steps if told["kind"] == "prm" else checked_scores
    server = _metric(plugin) if is_metric else _reward(spec.name, plugin, checked)
    server.info["content"] = content_hash(spec)  # the host compares: it may run on another machine
    return server


def _reward(name: str, plugin: Any, checked: Callable[[str, Any, int], list[Any]]) -> Server:
    adapted = adapt_reward(name, plugin)

    def answer(item: Mapping[str, Any]) -> dict[str, Any]:
        first = [[_request(value) for value in values] for values in item["first"]]
        with failures_reported() as failures:
            scores = checked(name, result_of(plugin(*first, **item["columns"])), len(first[0]))
        told = {row: (failure.kind, failure.message) for row, failure in failures.items()}
        return {"scores": scores, "failures": told}

    info = {"scope": adapted.scope, "dialect": adapted.dialect, "asks_truths": adapted.asks_truths}
    lists = {"required": adapted.required, "optional": adapted.optional, "takes_all": adapted.takes_all}
    return Server(answer, info | lists)


def _request(value: Any) -> Any:
    is_request = isinstance(value, dict) and value.keys() == {"messages", "response"}
    return InferRequest(messages=value["messages"], response=value["response"]) if is_request else value


def _metric(plugin: Any) -> Server:
    def answer(item: Mapping[str, Any]) -> dict[str, float]:
        requests = [_request(value) for value in item["infer_requests"]]
        rewards = [_scored(reward) for reward in item["rewards"]]
        generations = Generations(requests, item["ground_truths"], item["expected"], item["columns"], rewards)
        figures = plugin.compute(generations)
        return {str(name): float(value) for name, value in figures.items()}

    return Server(answer, {"eats": getattr(plugin, "eats", "predictions")})


def _scored(reward: Mapping[str, Any]) -> Any:
    """Return a reward that gives the scores it gave."""
    from swift_core.contracts.handover import RewardPart

    scores = RewardScores(reward["scores"])
    return RewardPart(reward["name"], reward["weight"], lambda *first, **columns: scores, reward["kind"])
