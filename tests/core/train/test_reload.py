"""Local files that change while a run trains: vetted, taken everywhere or nowhere, and taken back."""

import json
import shutil
from dataclasses import field, make_dataclass
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file

from swift_core.errors import SwiftError
from swift_core.run import run
from swift_core.train import reload
from swift_core.train.reload import Reload
from swift_core.train.swaps import carry_state

LOSS = '''
from swift_core.plugin_api import LossOutput, TokenOutputs

class Scaled:
    """Cross entropy times FACTOR."""

    def __init__(self):
        self.num_calls = 0

    def __call__(self, tokens: TokenOutputs) -> LossOutput:
        self.num_calls += 1
        calls = tokens.logps.detach() * 0 + self.num_calls
        return LossOutput(-FACTOR * tokens.logps, metrics={"factor": tokens.logps.detach() * 0 + SHOWN, "calls": calls})
'''

EDITS = '''
from pathlib import Path
from transformers import TrainerCallback

LOSS = Path(__file__).with_name("loss.py")

class Edit(TrainerCallback):
    """Writes the loss anew at certain steps."""

    def on_step_end(self, args, state, control, **kwargs):
        text = Path(__file__).with_name(f"at_{state.global_step}.py")
        if text.exists():
            LOSS.write_text(text.read_text())
'''

RUN = """
model: {model_id: "demo:tiny"}
data: {dataset: "demo:chat#64"}
plugins: {reload: [losses]}
train:
  loss_type: ./loss.py:Scaled
  callbacks: [./edits.py:Edit]
  learning_rate: 1e-4
  max_steps: 8
  logging_steps: 1
  save_steps: 4
  per_device_train_batch_size: 4
"""


def version(factor, shown):
    return LOSS.replace("FACTOR", factor).replace("SHOWN", str(shown))


@pytest.fixture
def folder(tmp_path, demo_folder, monkeypatch):
    """A run whose loss changes at steps 1, 3 and 5; a file that is being vetted is waited for at the next step."""
    (tmp_path / "loss.py").write_text(version("1.0", 1))
    (tmp_path / "edits.py").write_text(f"{EDITS}\n# {tmp_path}\n")  # files of the same bytes are one module
    (tmp_path / "run.yaml").write_text(RUN)
    (tmp_path / "at_1.py").write_text(version("1.0", 2).replace("def __call__", "def __call__(self):\n    def call"))
    (tmp_path / "at_3.py").write_text(version("3.0", 3))
    (tmp_path / "at_5.py").write_text(version("float('nan')", 4))
    look = Reload._look

    def look_and_wait(self):
        look(self)
        if self._vetting is not None:
            self._vetting[0].wait()

    monkeypatch.setattr(Reload, "_look", look_and_wait)
    return tmp_path


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_broken_change_is_refused_a_good_one_taken_and_one_that_is_not_finite_taken_back(folder, capfd):
    out = run(folder / "run.yaml", [f"output_dir={folder / 'out'}"], allow_code=True)
    told = [(line["step"], line["outcome"]) for line in lines(out / "reloads.jsonl")]
    assert told == [(2, "refused"), (4, "taken"), (6, "taken"), (6, "taken back")]
    logged = {line["step"]: line for line in lines(out / "metrics.jsonl") if "factor" in line}
    assert [logged[step]["factor"] for step in sorted(logged)] == [1, 1, 1, 1, 3, 3, 3]
    assert 2 < logged[5]["loss"] / logged[4]["loss"] < 4
    assert logged[5]["calls"] == logged[4]["calls"] + 1, "what the loss had counted was carried over"
    err = capfd.readouterr().err
    assert "refused after step 2: the loss " in err
    assert "loss.py:Scaled cannot be imported: IndentationError" in err
    assert "taken back after step 6: the loss of step 7 is nan" in err
    lock = json.loads((out / "identity.json").read_text())["plugins"]["train.loss_type"]
    from hashlib import sha256

    assert lock[3] == sha256((folder / "at_3.py").read_bytes()).hexdigest()
    assert len(list((out / "plugins").glob("loss-*.py"))) == 3
    _check_resume(folder, out)


def _check_resume(folder, out):
    """Go on only with the bytes that wrote the checkpoint: the file on disk is the one that was taken back."""
    keys = [f"output_dir={out}", "train.max_steps=10"]
    for edit in folder.glob("at_*.py"):
        edit.rename(edit.with_suffix(".old"))
    with pytest.raises(SwiftError, match=r"resume-plugins.*train\.loss_type"):
        run(folder / "run.yaml", keys, resume=out, resume_changed=False, allow_code=True)
    (folder / "loss.py").write_text((folder / "at_3.old").read_text())
    with pytest.raises(SwiftError) as refused:
        run(folder / "run.yaml", keys, resume=out, allow_code=True)
    assert "resume-plugins" not in str(refused.value)
    assert "train.max_steps" in str(refused.value)


def test_a_run_that_took_a_change_goes_on_from_a_later_checkpoint_bit_for_bit(folder):
    def texts(factor):
        return version(factor, 1).replace("+ self.num_calls", "")  # what a loss remembers has a contract of its own

    (folder / "loss.py").write_text(texts("1.0"))
    for number in (1, 5):
        (folder / f"at_{number}.py").unlink()
    (folder / "at_3.py").write_text(texts("3.0"))
    whole = run(folder / "run.yaml", [f"output_dir={folder / 'whole'}"], allow_code=True)
    shutil.copytree(whole, folder / "again")
    for left in ("adapter", "result.json"):
        path = folder / "again" / left
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / "at_3.py").unlink()
    checkpoint = folder / "again" / "checkpoint-4"
    again = run(folder / "run.yaml", [f"output_dir={folder / 'again'}"], resume=checkpoint, allow_code=True)
    assert [line["outcome"] for line in lines(whole / "reloads.jsonl")] == ["taken"]
    weights = [load_file(path / "adapter" / "adapter_model.safetensors") for path in (whole, again)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    losses = [[line.get("loss") for line in lines(path / "metrics.jsonl") if line["step"]] for path in (whole, again)]
    assert losses[0] == losses[1]


METRIC = '''
class One:
    """One, by the name NAME."""

    eats = "predictions"

    def preprocess_logits(self, logits, labels, /):
        return logits.argmax(-1)

    def compute(self, evaluation, /):
        return {"NAME": 1.0}
'''
CALLBACK = '''
from dataclasses import dataclass, field

from transformers import TrainerCallback

@dataclass(kw_only=True)
class Count(TrainerCallback):
    """Counts steps."""

    word: str = "steps"
    num_steps: int = field(default=0, init=False)
    FIELD

    def on_step_end(self, args, state, control, **kwargs):
        self.num_steps += 1
        print("callback", state.global_step, self.word, self.num_steps, getattr(self, "kinds", "none"))
        BODY
'''
REWARD = """
def worth(completions):
    return [WORTH for _ in completions]
"""
OF_EACH_KIND = """
model: {model_id: "demo:tiny"}
data: {dataset: "demo:chat#32", val_dataset: "demo:chat-heldout#2"}
plugins: {reload: [metrics, callbacks, rewards]}
reward: {orms: ["./reward.py:worth"]}
train:
  tuner_strategy: adalora
  tuner_kwargs: {init_r: 4, target_r: 2, tinit: 1, tfinal: 1}
  metrics: ["./metric.py:One", orm_accuracy]
  callbacks: [./edits.py:Edit, {name: "./callback.py:Count", kwargs: {word: times}}]
  max_steps: 10
  eval_strategy: steps
  eval_steps: 2
  save_strategy: "no"
  per_device_train_batch_size: 2
  eval_generation_rows: 2
  max_completion_length: 2
"""
EDITS_OF_ALL = EDITS.replace(
    """        text = Path(__file__).with_name(f"at_{state.global_step}.py")
        if text.exists():
            LOSS.write_text(text.read_text())
""",
    """        for text in Path(__file__).parent.glob(f"at_{state.global_step}_*.py"):
            Path(__file__).with_name(text.name.split("_")[2]).write_text(text.read_text())
""",
)


def test_a_metric_a_callback_and_a_reward_are_each_taken_anew_with_what_they_knew(folder, capfd):
    callback = CALLBACK.replace("BODY", "").replace("FIELD", "")
    grown = CALLBACK.replace("FIELD", "kinds: int = field(default=7, init=False)")
    texts = {
        "edits.py": EDITS_OF_ALL,
        "metric.py": METRIC.replace("NAME", "old_figure"),
        "callback.py": callback,
        "reward.py": REWARD.replace("WORTH", "0.25"),
        "at_1_metric.py": METRIC.replace("NAME", "new_figure"),
        "at_2_callback.py": grown.replace("BODY", ""),
        "at_3_reward.py": REWARD.replace("WORTH", "0.75"),
        "at_6_callback.py": grown.replace("BODY", "return state.no_such_thing"),
        "run.yaml": OF_EACH_KIND,
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    with pytest.raises(SwiftError, match=r"callback 'Count' of callback\.py raised AttributeError") as stopped:
        run(folder / "run.yaml", [f"output_dir={folder / 'out'}"], allow_code=True)
    assert str(stopped.value).startswith(f"{folder}/run.yaml:")
    told = [(line["file"].rpartition("/")[2], line["step"]) for line in lines(folder / "out" / "reloads.jsonl")]
    assert told == [("metric.py", 2), ("callback.py", 4), ("reward.py", 6), ("callback.py", 8)]
    counted = [line.split()[1:] for line in capfd.readouterr().out.splitlines() if line.startswith("callback ")]
    assert counted == [[str(n), "times", str(n), "none" if n < 5 else "7"] for n in range(1, 10)]
    judged = [line for line in lines(folder / "out" / "metrics.jsonl") if "eval_loss" in line]
    assert ["eval_old_figure" in line for line in judged] == [True, False, False, False, False]
    assert [line["eval_new_figure"] for line in judged[1:]] == [1.0] * 4


def test_optimizers_tuners_and_models_are_refused_with_the_reason(tmp_path):
    from swift_core.config.load import load
    from swift_core.plugins.registry import installed
    from swift_core.resolve.plan import resolve

    (tmp_path / "run.yaml").write_text(
        'model: {model_id: "demo:tiny"}\ndata: {dataset: "demo:chat"}\n'
        "plugins: {reload: [optimizers, tuners, models]}\n"
    )
    with pytest.raises(SwiftError) as refused:
        resolve(load(tmp_path / "run.yaml"), installed(), planning=True)
    assert [problem.code for problem in refused.value.problems] == ["cannot-reload"] * 3
    assert "the state of an optimizer belongs to its code" in str(refused.value)


class Plain:
    def __init__(self, option, count=0):
        self.option, self.count = option, count


def test_state_is_carried_but_what_options_say_is_not():
    new = Plain(option=2)
    carry_state(Plain(option=1, count=5), new, {"option": 2})
    assert (new.option, new.count) == (2, 5)


@pytest.mark.parametrize("slots", [False, True])
def test_fields_of_a_changed_dataclass_are_carried_and_a_changed_default_is_the_new_one(slots):
    old = make_dataclass(
        "Old", [("gamma", float, 2.0), ("count", int, field(default=0, init=False))], kw_only=True, slots=slots
    )()
    new = make_dataclass(
        "New",
        [
            ("gamma", float, 3.0),
            ("count", int, field(default=0, init=False)),
            ("kinds", int, field(default=7, init=False)),
        ],
        kw_only=True,
        slots=slots,
    )()
    old.count = 5
    carry_state(old, new, {})
    assert (new.gamma, new.count, new.kinds) == (3.0, 5, 7)


def _two_ranks(rank, folder, fails_on):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    taken = []

    def prepare(trainer, old, new):
        if rank == fails_on:
            raise ValueError("not here")
        return lambda: taken.append(rank)

    reload.prepared_swap = prepare
    file = folder / "loss.py"
    plugin = SimpleNamespace(path=file, dialect="ms_swift", name="a", distribution="(file)", version="")
    part = SimpleNamespace(kind="loss", key="train.loss_type", plugin=plugin)
    reload.reloadable = lambda plan: [part]
    reload._anew = lambda part, digest: part
    (folder / f"out{rank}").mkdir()
    trainer = SimpleNamespace(
        parts=SimpleNamespace(plan=None, directory=folder / f"out{rank}"),
        args=SimpleNamespace(world_size=2, process_index=rank),
        nonfinite=SimpleNamespace(),
        saving=SimpleNamespace(about={"plugins": {}}),
    )
    watcher = Reload(trainer)
    offer = {"file": str(file), "digest": reload._digest(file)}
    watcher._offer = lambda step: offer
    watcher.on_step_end(trainer.args, SimpleNamespace(global_step=3), None)
    (folder / f"rank{rank}").write_text(f"{len(taken)}")
    dist.destroy_process_group()


@pytest.mark.parametrize(("fails_on", "number"), [(None, 1), (1, 0), (0, 0)], ids=["both", "not on 1", "not on 0"])
def test_two_processes_take_a_change_both_or_neither(tmp_path, fails_on, number):
    (tmp_path / "loss.py").write_text("x = 1\n")
    mp.start_processes(_two_ranks, (tmp_path, fails_on), nprocs=2, start_method="fork")
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == [f"{number}"] * 2
    (line,) = lines(tmp_path / "out0" / "reloads.jsonl")
    assert line["outcome"] == ("taken" if number else "refused")
    assert not (tmp_path / "out1" / "reloads.jsonl").exists()
    assert number or f"process {fails_on}: ValueError: not here" in line["why"]
