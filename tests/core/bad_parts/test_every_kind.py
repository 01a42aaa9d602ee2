"""Every kind of plugin, and every fault: one error with the plugin, its distribution and the place.

`cells.yaml` is the table. Each cell has its message in `cells.txt`, with when it is told;
`python tests/core/bad_parts/test_every_kind.py` writes the messages and the table of `docs/bad-input.md` anew: read the
differences before you commit them.
"""

from __future__ import annotations

import inspect
import io
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from swift_core.cli.main import main
from swift_core.errors import SwiftError
from swift_core.plugins import registry
from swift_core.plugins.discover import FIRST_PARTY, scan
from swift_core.plugins.kinds import KINDS
from swift_core.read import read_plan
from swift_core.run import run
from swift_core.testing.fake_dist import fake_dist

HERE = Path(__file__).parent
MESSAGES = HERE / "cells.txt"
PAGE = HERE.parents[2] / "docs" / "bad-input.md"
MARKS = ("<!-- the table begins -->\n", "<!-- the table ends -->\n")
WHEN = {"read_plan": "plan", "assemble": "start", "train": "training", "write": "end"}
"""Function of `run` in which an error came up -> what a reader calls it."""
FAULTS = ("unknown name", "unknown option", "wrong value", "wrong return", "exception", "wrong place")
TABLE: dict[str, Any] = YAML(typ="safe").load((HERE / "cells.yaml").read_text(encoding="utf-8"))
ROWS_OF_KINDS = {"loss_scale": "loss scale", "agent_template": "agent template", "multi_turn": "multi-turn"}
CELLS = [
    (kind, fault)
    for kind, row in TABLE.items()
    if isinstance(row, dict)
    for fault, cell in row.items()
    if isinstance(cell, dict)
]
CHAT = {"dataset": "demo:chat#8", "val_dataset": "demo:chat-heldout#4"}
SAMPLED = {"dataset": "demo:prompts#8", "val_dataset": "demo:prompts-heldout#4"}
SHORT = {"max_steps": 1, "logging_steps": 1, "save_strategy": "no", "eval_generation_rows": 2}
STAGES: dict[str, dict[str, Any]] = {
    "sft": {"data": CHAT, "train": {"stage": "sft"}},
    "dpo": {"data": {"dataset": "demo:preference#8", "val_dataset": "demo:preference-heldout#4"}},
    "grpo": {"data": SAMPLED, "reward": {"orms": ["reward_good"]}, "rollout": {"num_generations": 2}},
    "tools": {"data": {"dataset": "tools.jsonl"}, "train": {"stage": "sft"}},
}
STAGES["dpo"]["train"] = {"stage": "dpo"}
STAGES["grpo"]["train"] = {"stage": "grpo", "per_device_train_batch_size": 2}
STAGES["turns"] = {**STAGES["grpo"], "rollout": {"num_generations": 2, "max_turns": 2}}
STAGES["turns"]["train"] = {**STAGES["grpo"]["train"], "max_completion_length": 64}
STAGES["apart"] = STAGES["grpo"]
TOOL_ROW = (
    '{"messages": [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "", "tool_calls": '
    '[{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]}], '
    '"tools": [{"type": "function", "function": {"name": "weather"}}]}\n'
)
CLASSES = {  # in acme_more.py -> kind and name; those of broken.py have their own names
    "TokenLoss": ("loss", "token_loss"),
    "PairLoss": ("loss", "pair_loss"),
    "PolicyLoss": ("loss", "policy_loss"),
    "Scale": ("loss_scale", "scale"),
}
FIRST_WORDS = {
    **{"loss": "loss", "pair": "loss", "policy": "loss", "optimizer": "optimizer", "scheduler": "scheduler"},
    **{"tuner": "tuner", "metric": "metric", "callback": "callback", "no": "callback", "procedure": "trainer"},
    **{"agent": "agent_template", "format": "dataset", "reward": "orm", "step": "prm", "engine": "engine"},
    **{
        "turns": "multi_turn",
        "pool": "pool",
        "hub": "hub",
        "hook": "hooks",
        "command": "command",
        "exporter": "exporter",
    },
}
GOOD = {"Optimizer", "Scheduler", "Tuner", "Metric", "Callback", "AgentTemplate", "Format", "Reward", "StepReward"}
GOOD |= {"Engine", "Turns", "Pool"}


def offered(module: ModuleType) -> Iterator[tuple[str, str, str]]:
    """Yield (group, name, attribute) of everything in a module that is a plugin."""
    for attribute, value in vars(module).items():
        if attribute.startswith("_") or getattr(value, "__module__", "") not in (module.__name__, "click.core"):
            continue
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", attribute).lower()
        if not (inspect.isclass(value) or inspect.isfunction(value) or isinstance(value, click.Command)):
            continue
        kind, name = CLASSES.get(attribute, (FIRST_WORDS.get(name.partition("_")[0], ""), name))
        if name.startswith("loss_scale_"):
            kind = "loss_scale"
        if kind:
            is_good = attribute in GOOD and module.__name__ == "acme_more"
            yield KINDS[kind].group, f"{name}_good" if is_good else name, attribute


@contextmanager
def acme_parts(site: Path) -> Iterator[None]:
    """Install the wheel `acme-parts` 1.2.0 beside the wheels of this project, and nothing else, for a while."""
    sources = {"acme_broken": HERE / "broken.py", "acme_more": HERE / "acme_more.py"}
    site.mkdir(parents=True)
    sys.path.insert(0, str(site))
    for name, source in sources.items():
        (site / f"{name}.py").write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    groups: dict[str, dict[str, str]] = {}
    for name in sources:
        for group, plugin, attribute in offered(__import__(name)):
            groups.setdefault(group, {}).setdefault(plugin, f"{name}:{attribute}")
    fake_dist(site, "acme-parts", "1.2.0", groups)
    found = scan()
    wanted = {*FIRST_PARTY, "acme-parts"}
    specs = tuple(spec for spec in found.specs if spec.distribution in wanted)
    ours = {name: each for name, each in found.distributions.items() if name in wanted}
    known, registry._everything = (
        registry._everything,
        lambda: registry.Registry(found._replace(specs=specs, distributions=ours)),
    )
    try:
        yield
    finally:
        registry._everything = known
        sys.path.remove(str(site))
        for name in sources:
            sys.modules.pop(name, None)


def run_file(kind: str, fault: str, model: Path, folder: Path) -> str:
    """Return the run file of a cell."""
    cell = dict(TABLE[kind][fault])
    stage = cell.pop("stage", TABLE[kind].get("stage", "sft"))
    content: dict[str, Any] = {"model": {"model_id": str(model)}}
    content |= {section: dict(values) for section, values in STAGES[stage].items()}
    content["train"] = {**content["train"], **({"max_completion_length": 2} if stage != "turns" else {}), **SHORT}
    content["plugins"] = {} if stage == "apart" else {"sandbox": {"mode": "off"}}
    content["output_dir"] = str(folder / "out")
    for key, value in cell.items():
        section, _, name = key.partition(".")
        content.setdefault(section, {})[name] = value
    text = io.StringIO()
    writer = YAML()
    writer.default_flow_style = False
    writer.width = 4096
    writer.dump(content, text)
    return text.getvalue()


def message_of(kind: str, fault: str, model: Path, folder: Path) -> str:
    """Return what the command line prints, without what changes from place to place."""
    cell = TABLE[kind][fault]
    if "command" in cell:
        return f"[command line]\n{printed(cell['command'])}"
    (folder / "tools.jsonl").write_text(TOOL_ROW, encoding="utf-8")
    path = folder / "run.yaml"
    path.write_text(run_file(kind, fault, model, folder), encoding="utf-8")
    try:
        run(path)
    except SwiftError as error:
        message = f"[{when(error)}]\n{str(error).replace(str(model), 'MODEL')}"
        return re.sub(r"/[^\s()\[\],]*/(acme_\w+\.py|run\.yaml|tools\.jsonl)", r"\1", message)
    return "\n".join(("[note]", *(f"note: {note}" for note in read_plan(path, (), registry.installed()).notes)))


def when(error: SwiftError) -> str:
    """Return in which part of a run an error came up."""
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    return WHEN[next(name for name in names if name in WHEN)]


def printed(arguments: list[str]) -> str:
    """Return what `swift` prints and its exit code."""
    shown = io.StringIO()
    with redirect_stderr(shown), redirect_stdout(shown), pytest.raises(SystemExit) as ended:
        main(arguments)
    return f"{shown.getvalue().strip()}\nexit code {ended.value.code}"


def written() -> dict[str, str]:
    """Return the messages that are kept, by `kind: fault`."""
    blocks = MESSAGES.read_text(encoding="utf-8").split("## ")[1:]
    return {name: text.strip() for name, _, text in (block.partition("\n") for block in blocks)}


def table(messages: dict[str, str]) -> str:
    """Return the table of the documentation: a row for each kind, in each cell the error's code and when it is told."""
    lines = [f"| kind | {' | '.join(FAULTS)} |", f"|---{'|---' * len(FAULTS)}|"]
    reasons: list[str] = []
    for kind, row in TABLE.items():
        cells = [
            _shown(f"{kind}: {fault}", row if isinstance(row, str) else row[fault], messages, reasons)
            for fault in FAULTS
        ]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    notes = [f"{number}. {reason[0].upper()}{reason[1:]}." for number, reason in enumerate(reasons, start=1)]
    return "\n".join([*lines, "", *notes]) + "\n"


def _shown(name: str, cell: Any, messages: dict[str, str], reasons: list[str]) -> str:
    if isinstance(cell, str):
        if cell not in reasons:
            reasons.append(cell)
        return f"({reasons.index(cell) + 1})"
    told, _, message = messages[name].partition("\n")
    code = re.search(r"error\[([a-z-]+)\]", message)
    return f"`{code[1]}`, {told[1:-1]}" if code else "a note of the plan"


def page_with(content: str) -> str:
    """Return the page of the documentation with `content` as its table."""
    begin, end = MARKS
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    return f"{before}{begin}{content}{end}{rest.partition(end)[2]}"


@pytest.fixture(scope="module")
def _acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with acme_parts(tmp_path_factory.mktemp("acme") / "site"):
        yield


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_what_becomes_of_every_fault(kind: str, fault: str) -> None:
    row = TABLE[ROWS_OF_KINDS.get(kind, kind)]
    cell = row if isinstance(row, str) else row[fault]
    assert cell


@pytest.mark.usefixtures("_acme")
@pytest.mark.parametrize(("kind", "fault"), CELLS)
def test_a_mistake_gets_its_message(kind: str, fault: str, tiny_folder: Path, tmp_path: Path) -> None:
    assert message_of(kind, fault, tiny_folder, tmp_path) == written()[f"{kind}: {fault}"]


def test_the_documentation_shows_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page_with(table(written()))


def test_a_message_about_a_plugin_names_it_and_who_brought_it() -> None:
    told_of_others = ("unknown name", "wrong place", "command: unknown option", "dataset: wrong value")
    for name, message in written().items():
        if not name.endswith(told_of_others):
            assert "acme-parts" in message, name


def _write() -> None:
    import tempfile

    from swift_core.testing.tiny import tiny_model

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory() as scratch, acme_parts(Path(scratch) / "site"):
        tiny, blocks = tiny_model(Path(scratch) / "model"), []
        for number, (kind, fault) in enumerate(CELLS):
            place = Path(scratch) / str(number)
            place.mkdir()
            try:
                message = message_of(kind, fault, tiny, place)
            except Exception:
                message = f"[traceback]\n{''.join(traceback.format_exc().splitlines(keepends=True)[-8:])}"
            blocks.append(f"## {kind}: {fault}\n{message}\n")
    MESSAGES.write_text("\n".join(blocks), encoding="utf-8")
    PAGE.write_text(page_with(table(written())), encoding="utf-8")


if __name__ == "__main__":
    _write()
