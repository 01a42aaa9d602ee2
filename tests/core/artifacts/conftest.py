"""A run made by hand: what the folders before `artifacts` would hand over, without any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pluggy
import pytest

from swift_core.contracts.handover import PartPlan, RunConfig, RunPlan, RunResult, ValueOrigin
from swift_core.contracts.plugin import PluginSource, PluginSpec
from swift_core.contracts.settings import DataSettings, ModelSettings, RunSettings
from swift_core.errors import Place
from swift_core.plugins.hooks import manager

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \"quoted\" 'single' {{ 7 * 7 }}"


def part(kind: str, key: str, name: str, wheel: str = "swift-core", **options: Any) -> PartPlan:
    spec = PluginSpec(kind, name, f"{wheel.replace('-', '_')}:{name}", wheel, "0.1.0", "wheel", first_party=True)
    source = PluginSource(f"The {kind}.", (), f"{name}.py", 1)
    return PartPlan(kind, key, spec, source, options, {option: ValueOrigin("file") for option in options})


@dataclass
class ByteEncoder:
    """One token a byte; 0 ends a turn."""

    eos_token_id: int = 0
    pad_token_id: int = 0

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: list[int]) -> str:
        return b"".join(b"<end>" if token == 0 else bytes([token]) for token in ids).decode("utf-8", "replace")


@dataclass
class FakeTuner:
    """Writes one file; can be told to fail half-way."""

    artifact: str = "adapter"
    fails: bool = False

    def save_pretrained(self, model: Any, directory: Path) -> None:
        (directory / "weights.txt").write_text("trained")
        if self.fails:
            raise OSError("No space left on device")


@dataclass
class FakeTokenizer:
    template: str = "{{ messages }}"

    def save_pretrained(self, directory: Path) -> None:
        (directory / "chat_template.jinja").write_text(self.template)


@dataclass
class FakeParts:
    """The parts of a run that artifacts read."""

    plan: RunPlan
    directory: Path
    train_dataset: Any
    tuner: FakeTuner = field(default_factory=FakeTuner)
    tokenizer: FakeTokenizer = field(default_factory=FakeTokenizer)
    encoder: ByteEncoder = field(default_factory=ByteEncoder)
    model: Any = field(default_factory=lambda: SimpleNamespace(config=None))
    procedure: Any = None
    hooks: pluggy.PluginManager = field(default_factory=manager)
    facts: dict[str, Any] = field(default_factory=lambda: {"rows": {"train": 2, "dropped": 1}})


@pytest.fixture
def make_plan(tmp_path: Path) -> Callable[..., RunPlan]:
    """Return a maker of plans of the run file `tmp_path/run.yaml`."""

    def make(output_dir: Path = Path(), **parts: Any) -> RunPlan:
        path = tmp_path / "run.yaml"
        path.write_text("model: {model_id: demo:tiny}\ndata:\n  dataset: demo:chat\noutput_dir: out\n")
        settings = RunSettings(
            model=ModelSettings(model_id="demo:tiny"), data=DataSettings(dataset=HOSTILE), output_dir=output_dir
        )
        origins = {
            "model.model_id": ValueOrigin("file", Place("run.yaml", 1, 9, "model: {model_id: demo:tiny}")),
            "data.dataset": ValueOrigin("file", Place("run.yaml", 3, 3, "  dataset: demo:chat")),
            "output_dir": ValueOrigin("file", Place("run.yaml", 4, 1, "output_dir: out")),
        }
        chosen: dict[str, Any] = {
            "procedure": part("trainer", "train.stage", "dpo"),
            "loss": part("loss", "train.loss_type", "dpo", "swift-loss-zoo", beta=0.2),
            "optimizer": part("optimizer", "train.optimizer_type", "native_adamw", "swift-native"),
            "scheduler": part("scheduler", "train.lr_scheduler_type", "linear"),
            "tuner": part("tuner", "train.tuner_strategy", "lora", rank=8),
            "hub": part("hub", "model.hub", "demo"),
            "orms": (part("orm", "reward.orms.0", "math", "swift-reward-zoo", note=HOSTILE),),
        }
        empty: dict[str, Any] = dict.fromkeys(("metrics", "callbacks", "prms", "hooks", "formats"), ())
        return RunPlan(
            loss_scales=(),
            engine=None,
            agent_template=None,
            config=RunConfig(path, settings, origins),
            **(chosen | empty | parts),
            notes=("dtype auto became float32",),
            create=lambda _: None,
            load=lambda _: None,
            permit=lambda _: None,
        )

    return make


@pytest.fixture
def make_result(make_plan: Callable[..., RunPlan], tmp_path: Path) -> Callable[..., RunResult]:
    """Return a maker of results of a run in `tmp_path/out`."""

    def make(directory: Path = tmp_path / "out", samples: Any = None, **changes: Any) -> RunResult:
        rows = [{"input_ids": [*b"2+2?4", 0], "labels": [-100] * 4 + [ord("4"), 0], "row": 0}]
        parts = FakeParts(make_plan(output_dir=directory), directory, rows, **changes)
        if samples is None:
            samples = [{"prompt": HOSTILE, "expected": "4", "before": HOSTILE, "after": "4"}]
        before, after = {"eval_loss": 0.7, "eval_reward_accuracy": 0.0}, {"eval_loss": 0.1, "eval_reward_accuracy": 1.0}
        return RunResult(parts, 20, before, after, samples, 12.5)  # type: ignore[arg-type]

    return make


@pytest.fixture
def trainer_state() -> SimpleNamespace:
    """What the trainer tells callbacks about where it is."""
    return SimpleNamespace(is_world_process_zero=True, global_step=0, max_steps=20, epoch=0.0)
