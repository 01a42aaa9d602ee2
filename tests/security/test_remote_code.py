"""Code that a model folder brings runs when the command line names the model and pins that code, and else never."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from swift_core.assemble.model import Loading, fetched, load_tokenizer, load_weights
from swift_core.assemble.other_model import configured_stops
from swift_core.builtins.hubs.huggingface import HuggingFace
from swift_core.builtins.hubs.local import Local
from swift_core.config.load import load, parse
from swift_core.errors import SwiftError
from swift_core.plugins.registry import installed
from swift_core.plugins.remote_code import code_hash, grant, grant_copies, may_run, parse_pins
from swift_core.resolve.plan import resolve
from swift_core.run import run

MARK = (
    "import os\nwith open(os.environ['SWIFT_MARKS'], 'a') as file:\n"
    "    file.write(__name__.rpartition('.')[2] + '\\n')\n"
)
CODE = {
    "configuration_stranger.py": "from transformers import LlamaConfig\n\n\nclass StrangerConfig(LlamaConfig):\n"
    "    model_type = 'stranger'\n",
    "modeling_stranger.py": "from transformers import LlamaForCausalLM\n\n"
    "from .configuration_stranger import StrangerConfig\n\n\nclass StrangerForCausalLM(LlamaForCausalLM):\n"
    "    config_class = StrangerConfig\n",
    "tokenization_stranger.py": "from transformers import PreTrainedTokenizerFast\n\n\n"
    "class StrangerTokenizer(PreTrainedTokenizerFast):\n    pass\n",
}
CLASSES = {
    "AutoConfig": "configuration_stranger.StrangerConfig",
    "AutoModelForCausalLM": "modeling_stranger.StrangerForCausalLM",
}
TOKENIZER = {"AutoTokenizer": [None, "tokenization_stranger.StrangerTokenizer"]}
ALL = ["configuration_stranger", "modeling_stranger", "tokenization_stranger"]
RUN = """\
model: {model_id: ./stranger}
data: {dataset: "demo:chat"}
train: {tuner_strategy: TUNER, max_steps: 2, per_device_train_batch_size: 2, save_steps: 1}
output_dir: out
"""


def change(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.fixture
def stranger(tiny_folder, tmp_path, monkeypatch):
    """A model folder of a kind that transformers does not know, with code for it that leaves marks."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    for path in tiny_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for name, text in CODE.items():
        (folder / name).write_text(MARK + text)
    change(folder / "config.json", model_type="stranger", architectures=["StrangerForCausalLM"], auto_map=CLASSES)
    change(folder / "tokenizer_config.json", tokenizer_class="StrangerTokenizer", auto_map=TOKENIZER)
    monkeypatch.setenv("SWIFT_MARKS", str(tmp_path / "marks"))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    (tmp_path / "run.yaml").write_text(RUN.replace("TUNER", "full"))
    return folder


def marks(folder):
    path = folder.parent / "marks"
    return sorted(set(path.read_text().split())) if path.exists() else []


def command(folder, *arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "swift_core", *map(str, arguments)],
        cwd=folder.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_unasked_no_code_of_a_model_runs_and_the_message_has_the_way_with_its_hash(stranger):
    for work in (lambda: load_weights(stranger, Loading()), lambda: load_tokenizer(stranger)):
        with pytest.raises(ValueError, match="code of a model is not run unless the command line says so") as caught:
            work()
        assert f"--trust-remote-code MODEL@{code_hash(stranger)}" in str(caught.value)
    configured_stops(stranger)
    assert marks(stranger) == []


@pytest.mark.slow
def test_a_run_trains_saves_and_answers_with_code_that_is_pinned_and_goes_on_with_no_other(stranger):
    asked = f"./stranger@{code_hash(stranger)}"
    output = command(stranger, "train", "run.yaml", code=2)
    assert "code of a model is not run unless the command line says so" in output
    assert marks(stranger) == []

    command(stranger, "train", "run.yaml", "--trust-remote-code", asked)

    assert marks(stranger) == ALL
    out = stranger.parent / "out"
    assert json.loads((out / "plan.json").read_text())["remote_code"] == {"./stranger": code_hash(stranger)}
    about = json.loads((out / "checkpoint-2" / "manifest.json").read_text())["about"]
    assert about["settings"]["remote_code../stranger"] == code_hash(stranger)
    assert about["plugins"]["remote_code../stranger"][2] == code_hash(stranger)
    assert not list(out.glob("checkpoint-*/**/*.py"))
    (stranger.parent / "marks").unlink()
    with pytest.raises(SwiftError, match=r"remote_code\.\./stranger.* -> \(not set\)"):
        run(stranger.parent / "run.yaml", [f"output_dir={out}"], resume=out / "checkpoint-1")
    output = command(stranger, "infer", "out", "--prompt", "2+2?", code=2)
    assert "--trust-remote-code" in output
    assert marks(stranger) == []  # neither the run's record nor the code beside its model lets it run

    command(stranger, "infer", "out", "--prompt", "2+2?", "--trust-remote-code", asked)

    assert "modeling_stranger" in marks(stranger)


@pytest.mark.parametrize("harm", ["change", "add", "hide"])
def test_other_code_than_what_is_pinned_does_not_run(stranger, harm):
    pin = code_hash(stranger)
    path = {"change": "modeling_stranger.py", "add": "more.py", "hide": "deep/.hidden.py"}[harm]
    (stranger / path).parent.mkdir(exist_ok=True)
    with (stranger / path).open("a") as file:
        file.write("\n")

    with pytest.raises(SwiftError, match=f"pins ./stranger to {pin}, and it holds code with the hash"):
        fetched(Local(), "./stranger", "main", stranger.parent, {"./stranger": pin})

    assert not may_run(stranger)
    assert marks(stranger) == []


def test_code_that_changes_after_it_was_judged_does_not_run(stranger):
    grant("./stranger", stranger, code_hash(stranger))
    assert may_run(stranger)
    (stranger / "modeling_stranger.py").write_text(MARK)

    with pytest.raises(ValueError, match="not run unless"):
        load_weights(stranger, Loading())

    assert marks(stranger) == []


@pytest.mark.parametrize(
    "reference",
    ["other/model--modeling.Model", "../outside.Model", "/outside.Model", "modeling_absent.Model", "a..b.Model", ""],
)
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_another_folder_is_not_reached_through_a_pinned_one(stranger, file, reference):
    (stranger.parent / "outside.py").write_text(MARK)
    change(stranger / file, auto_map={"AutoConfig": reference})
    with pytest.raises(SwiftError, match="is no code of its own folder and is not pinned"):
        grant("./stranger", stranger, code_hash(stranger))
    assert not may_run(stranger)


def test_a_commit_pins_the_snapshot_of_that_commit_and_no_folder(stranger):
    commit = "0123456789abcdef0123456789abcdef01234567"
    with pytest.raises(SwiftError, match=f"no snapshot of that commit; a folder is pinned by {code_hash(stranger)}"):
        grant("./stranger", stranger, commit)
    snapshot = stranger.parent / "snapshots" / commit
    snapshot.parent.mkdir()
    stranger.rename(snapshot)
    grant("owner/stranger", snapshot, commit)
    assert may_run(snapshot)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(stranger, monkeypatch):
    """The stranger as a hub's cache keeps it: files of a commit, and a branch that names the commit."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(stranger.parent / "hub"))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(stranger.parent / "hub"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(stranger.parent / "modules"))
    repository = stranger.parent / "hub" / "models--owner--stranger"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots").mkdir()
    stranger.rename(repository / "snapshots" / COMMIT)
    return repository


def test_code_of_a_hubs_model_runs_at_the_pinned_commit_alone(hub_cache, stranger):
    source, base = HuggingFace(), stranger.parent
    folder = fetched(source, "owner/stranger", "main", base, {})
    assert folder == hub_cache / "snapshots" / COMMIT
    with pytest.raises(ValueError, match="code of a model is not run unless the command line says so"):
        load_weights(folder, Loading())
    other = "f" * 40
    with pytest.raises(ValueError, match=f"{other}\\) is not in the hub cache"):
        fetched(source, "owner/stranger", "main", base, {"owner/stranger": other})
    with pytest.raises(ValueError, match="not run unless"):
        load_weights(fetched(source, "owner/stranger", "main", base, {"owner/neighbour": COMMIT}), Loading())
    assert marks(stranger) == []

    pinned = fetched(source, "owner/stranger", "main", base, {"owner/stranger": COMMIT})
    assert type(load_weights(pinned, Loading())).__name__ == "StrangerForCausalLM"
    assert "modeling_stranger" in marks(stranger)


def test_a_branch_that_moves_does_not_move_the_pin(hub_cache, stranger):
    moved = "a" * 40
    shutil.copytree(hub_cache / "snapshots" / COMMIT, hub_cache / "snapshots" / moved)
    (hub_cache / "snapshots" / moved / "modeling_stranger.py").write_text(MARK + "raise SystemExit\n")
    (hub_cache / "refs" / "main").write_text(moved)

    assert fetched(HuggingFace(), "owner/stranger", "main", stranger.parent, {"owner/stranger": COMMIT}).name == COMMIT
    with pytest.raises(ValueError, match="not run unless"):
        load_weights(fetched(HuggingFace(), "owner/stranger", "main", stranger.parent, {}), Loading())
    assert marks(stranger) == []


@pytest.mark.parametrize("text", ["owner/name", "owner/name@main", "owner/name@v1.0", "@" + "0" * 40, "a@" + "0" * 39])
def test_a_pin_says_exactly_which_code_is_meant(text):
    with pytest.raises(SwiftError, match="does not say which code"):
        parse_pins([text])


def test_a_model_that_the_run_does_not_have_is_not_trusted_in_vain(stranger):
    config = load(stranger.parent / "run.yaml")
    with pytest.raises(SwiftError, match=r"names '\./strangr', and the models of this run are \./stranger"):
        resolve(config, installed(remote_code={"./strangr": "0" * 64}), planning=True)


@pytest.mark.parametrize("key", ["trust_remote_code: true", "model: {model_id: a/b, trust_remote_code: true}"])
def test_a_run_file_cannot_let_code_run(key):
    with pytest.raises(SwiftError) as caught:
        parse(key, Path("run.yaml"))
    assert "trust_remote_code" in " ".join(problem.message for problem in caught.value.problems)


def test_code_beside_what_was_trained_runs_only_where_it_is_that_of_the_model(stranger, tmp_path):
    saved = tmp_path / "model"
    saved.mkdir()
    (saved / "modeling_stranger.py").write_bytes((stranger / "modeling_stranger.py").read_bytes())
    grant_copies(saved, stranger)
    assert not may_run(saved)
    grant("./stranger", stranger, code_hash(stranger))
    grant_copies(saved, stranger)
    assert may_run(saved)
    (saved / "modeling_stranger.py").write_text(MARK)
    grant_copies(saved, stranger)
    assert not may_run(saved)
