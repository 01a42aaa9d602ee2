"""Whether changed files can be taken: imported and built in a process of its own, while training goes on in another.

python -m swift_core.train.vet < request      writes one JSON text: empty, or what is wrong
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.errors import SwiftError

if TYPE_CHECKING:
    from collections.abc import Mapping


def main() -> None:
    """Answer the request on the standard input."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what plugins print while they are imported is no answer
    answer.write(json.dumps(verdict(json.load(sys.stdin))))
    answer.flush()


def verdict(request: Mapping[str, Any]) -> str:
    """Return what is wrong with one of the parts of a request; empty when nothing is."""
    try:
        for told in request["parts"]:
            _try(told, request)
    except SwiftError as error:
        return "; ".join(problem.message.rstrip(".") for problem in error.problems)
    except Exception as error:  # whatever a stranger's code raises is why it is not taken
        return " ".join(f"{told['kind']} {told['plugin']['name']!r}: {type(error).__name__}: {error}".split())
    return ""


def _try(told: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    from swift_core.contracts.models import building_in
    from swift_core.contracts.plugin import PluginSpec
    from swift_core.plugins.building import build
    from swift_core.plugins.loading import load

    spec = PluginSpec(**{**told["plugin"], "path": Path(told["plugin"]["path"])})
    with building_in(Path(request["folder"]), told["args"]):
        plugin: Any = build(load(spec, {}, allow_code=True), told["options"])
    _CHECKS[spec.kind](spec.name, plugin)


def _loss(name: str, loss: Any) -> None:
    from swift_core.train.ledger import LossCall

    LossCall(loss)


def _reward(name: str, reward: Any) -> None:
    from swift_core.assemble.rewards import adapt_reward

    adapt_reward(name, reward)


def _metric(name: str, metric: Any) -> None:
    if metric.eats not in ("predictions", "generations") or not callable(metric.compute):
        raise TypeError("a metric says what it eats and has compute")


def _callback(name: str, callback: Any) -> None:
    from transformers import TrainerCallback

    if not isinstance(callback, TrainerCallback):
        raise TypeError(f"must be a transformers.TrainerCallback, got {type(callback).__name__}")


_CHECKS = {"loss": _loss, "orm": _reward, "prm": _reward, "metric": _metric, "callback": _callback}


if __name__ == "__main__":
    main()
