"""Run directories and model folders of strangers: data that is refused in one message, never run."""

import copy
import json
import os
import pickle
import random
import signal
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from swift_core.artifacts import checkpoint_manifest
from swift_core.artifacts.checkpoint import commit, staging_of, standing
from swift_core.artifacts.checkpoint_manifest import MANIFEST, BrokenCheckpointError, read_manifest
from swift_core.artifacts.metrics_file import read_metrics
from swift_core.artifacts.report import render_report
from swift_core.artifacts.run_list import listed, verified
from swift_core.artifacts.start import choose
from swift_core.assemble.model import Loading, load_tokenizer, load_weights
from swift_core.assemble.trained import open_run
from swift_core.cli.runs import command
from swift_core.config.load import load
from swift_core.contracts import records
from swift_core.contracts.plan_json import plan_dict
from swift_core.errors import SwiftError
from swift_core.plugins.registry import installed
from swift_core.resolve.model_facts import read_model
from swift_core.resolve.plan import resolve

ODD = [None, True, -1, 0.5, 1e400, 2**70, "", "x", "../../..", "/etc/passwd", "\x00", [], {}, [[]], [1], {"a": 1}]
RESULT = {"before": {"eval_loss": 2.0}, "after": {"eval_loss": 1.0}, "samples": [], "num_steps": 3, "seconds": 1.5,
          "interrupted": False, "memory": {"cpu": 10}, "facts": {"rows": 2}, "mask_preview": [],
          "sections": [{"anchor": "a", "title": "t", "text": "x"}]}  # fmt: skip


class Bomb:
    """Makes a marker when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """The plan of a run file, made without torch."""
    folder = tmp_path_factory.mktemp("plan")
    text = f"model: {{model_id: demo:tiny}}\ndata: {{dataset: demo:chat}}\noutput_dir: {folder / 'out'}\n"
    (folder / "run.yaml").write_text(text)
    return resolve(load(folder / "run.yaml"), installed())


def places(value, path=()):
    """Yield the path of every value inside `value`."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*path, key))


def damaged(content, draw):
    """Return `content` with one to three of its values replaced, taken away or repeated under another key."""
    content = copy.deepcopy(content)
    for _ in range(draw.randint(1, 3)):
        path = draw.choice([path for path in places(content) if path] or [()])
        if not path:
            break
        holder = content
        for key in path[:-1]:
            holder = holder[key]
        if draw.random() < 0.25:
            del holder[path[-1]]
        else:
            holder[path[-1]] = draw.choice(ODD)
    return content


def write_run(folder, plan, result=RESULT, metrics='{"step": 1, "loss": 2.0}\n'):
    folder.mkdir(exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan))
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "metrics.jsonl").write_text(metrics)
    return folder


def told(work, *arguments):
    """Run `work`; a SwiftError is told in a few lines, and anything else fails the test."""
    try:
        work(*arguments)
    except SwiftError as error:
        return error
    return None


def test_damaged_records_of_a_run_are_refused_or_read_and_never_a_traceback(plan, tmp_path):
    whole, refused = plan_dict(plan), 0
    write_run(tmp_path / "run", whole)
    assert told(render_report, tmp_path / "run") is None
    for trial in range(40):
        draw = random.Random(trial)
        folder = write_run(tmp_path / "run", damaged(whole, draw), damaged(RESULT, draw))
        refused += told(render_report, folder) is not None
        told(listed, folder)
        refused += told(open_run, folder) is not None  # at the least it lacks what was trained
    assert refused >= 40


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 10**5, '{"format": 1}', "\ufeff{}", '{"a": NaN'])
@pytest.mark.parametrize("name", ["plan.json", "result.json", "metrics.jsonl"])
def test_records_that_are_no_records_are_told(plan, tmp_path, name, content):
    folder = write_run(tmp_path / "run", plan_dict(plan))
    (folder / name).write_text(content + "\n")
    told(render_report, folder)
    told(open_run, folder)
    told(read_metrics, folder)
    assert len(listed(folder)) == 1


@pytest.fixture
def hung():
    """Fail what waits for ever, as reading a pipe does that nobody writes to."""

    def give_up(*_):
        raise AssertionError("it waited for what is no file")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop"])
@pytest.mark.parametrize("name", ["plan.json", "result.json", "metrics.jsonl", "completions.jsonl", "run.yaml"])
def test_what_is_no_file_is_not_read_as_a_record(plan, tmp_path, hung, name, kind):
    folder = write_run(tmp_path / "run", plan_dict(plan))
    (folder / name).unlink(missing_ok=True)
    {
        "pipe": lambda path: os.mkfifo(path),
        "device": lambda path: path.symlink_to("/dev/zero"),
        "folder": lambda path: path.mkdir(),
        "loop": lambda path: path.symlink_to(path),
    }[kind](folder / name)
    told(render_report, folder)
    told(open_run, folder)
    told(listed, folder.parent)
    told(choose, plan, folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("kind", ["pipe", "device", "link out"])
@pytest.mark.parametrize("name", [MANIFEST, "trainer_state.json", "model.safetensors", "new.safetensors"])
def test_what_is_no_file_is_not_read_from_a_checkpoint(saved, tmp_path, hung, name, kind):
    (saved / name).unlink(missing_ok=True)
    (tmp_path / "outside").write_text("mine")
    target = {"device": "/dev/zero", "link out": tmp_path / "outside"}
    os.mkfifo(saved / name) if kind == "pipe" else (saved / name).symlink_to(target[kind])

    assert standing(saved).manifest is None


def test_a_folder_with_very_many_files_is_told_and_not_hashed(saved, hung, monkeypatch):
    for number in range(20_000):
        os.close(os.open(saved / f"{number}.txt", os.O_CREAT))
    monkeypatch.setattr(checkpoint_manifest, "_entry", lambda path: pytest.fail("a file was read"))

    assert "which its manifest does not list" in standing(saved).problem


def test_a_run_with_very_many_files_is_refused_by_name_and_not_looked_through(plan, saved, hung, monkeypatch):
    run = saved.parent
    (run / "plan.json").write_text(json.dumps(plan_dict(plan)))
    monkeypatch.setattr(records, "MOST_ENTRIES", 1000)
    assert listed(run)[0].state == "unfinished"
    for number in range(1000):
        (run / f"junk-{number}").touch()
    asked = {"resume": lambda: choose(plan, run), "verify": lambda: verified(run), "list": lambda: listed(run)}
    monkeypatch.setattr(Path, "glob", lambda *_: pytest.fail("the folder was looked through"))
    for work in (asked["resume"], asked["verify"]):
        assert f"{run} holds more than 1000 files and folders" in str(told(work))
    assert asked["list"]()[0].state == "unreadable"
    with pytest.raises(SwiftError, match="holds more than 1000 files"):
        listed(make_full(run / "set-aside"))


def make_full(folder):
    folder.mkdir()
    for number in range(1001):
        (folder / str(number)).mkdir()
    return folder


def test_of_very_many_damaged_checkpoints_a_few_are_named(plan, saved):
    for step in range(100, 1100):
        (saved.parent / f"checkpoint-{step}").mkdir()
    found = choose(plan, saved.parent, accept_changes=True)
    assert found.checkpoint == saved
    assert sum("left out" in note for note in found.notes) == 6
    assert "995 more are not whole and left out" in found.notes
    for path in saved.iterdir():
        path.unlink()
    error = told(lambda: choose(plan, saved.parent, accept_changes=True))
    assert len(str(error)) < 1000
    assert "; and 996 more" in str(error)


def test_names_in_a_run_directory_give_a_terminal_no_commands(plan, saved):
    (saved / "\x1b]0;pwned\x07.txt").touch()
    done = CliRunner().invoke(command, ["verify", str(saved.parent)])
    assert "holds \\x1b]0;pwned\\x07.txt" in done.output
    error = told(lambda: choose(plan, saved, accept_changes=True))
    assert "\\x1b]0;pwned" in str(error)
    assert not {"\x1b", "\x07"} & {*done.output, *str(error)}


def test_a_manifest_that_is_deep_or_large_is_told_and_not_taken(saved):
    for content in ("[" * 10**6, '{"about": ' + '{"a": ' * 10**5, " " * (16 * 2**20 + 1)):
        (saved / MANIFEST).write_text(content)
        assert standing(saved).manifest is None


def test_a_record_has_a_largest_size(plan, tmp_path, monkeypatch):
    monkeypatch.setattr("swift_core.contracts.records.LARGEST", 1000)
    error = told(render_report, write_run(tmp_path / "run", plan_dict(plan)))
    assert "has more than 1000 bytes" in str(error)


def test_text_of_a_run_is_no_markup_and_no_script_in_its_report(plan, tmp_path):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    sample = {"prompt": evil, "expected": evil, "before": evil, "after": evil}
    result = {
        **RESULT,
        "samples": [sample],
        "facts": {evil: evil},
        "sections": [{"anchor": evil, "title": evil, "text": evil}],
    }
    metrics = json.dumps({"step": 1, evil: 1.0}) + "\n"
    page = render_report(write_run(tmp_path / "run", plan_dict(plan), result, metrics))
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "Content-Security-Policy" in page


def test_a_part_of_a_run_that_names_a_file_does_not_run_it(plan, tmp_path):
    marker, content = tmp_path / "marker", plan_dict(plan)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "evil.py").write_text(f"import os; os.mkdir({str(marker)!r})\nclass Lora: pass\n")
    for part in content["parts"]:
        if part["kind"] in ("tuner", "hub"):
            part |= {"wheel": "./evil.py", "name": "Lora"}
    assert told(open_run, write_run(tmp_path / "run", content)) is not None
    assert not marker.exists()


@pytest.fixture
def saved(tmp_path):
    """A whole checkpoint of a run."""
    staged = staging_of(tmp_path / "out", 3) / "checkpoint-3"
    staged.mkdir(parents=True)
    (staged / "trainer_state.json").write_text('{"global_step": 3, "log_history": []}')
    (staged / "model.safetensors").write_bytes(b"x" * 64)
    return commit(tmp_path / "out", step=3, world=1, about={"settings": {}, "plugins": {}, "eval_loss": 1.0}, limit=1)


def forge(folder, content):
    """Write a manifest as a stranger can, with a hash of itself that is right."""
    content.pop("sha256", None)
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    content["sha256"] = checkpoint_manifest.hashlib.sha256(text.encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(content))


def test_forged_manifests_are_refused_or_of_the_right_form(plan, saved):
    whole, refused = json.loads((saved / MANIFEST).read_text()), 0
    for trial in range(100):
        forge(saved, damaged(whole, random.Random(trial)))
        try:
            assert isinstance(read_manifest(saved).about.get("eval_loss", 0.0), float)
        except BrokenCheckpointError:
            refused += 1
        assert standing(saved).path == saved
        told(choose, plan, saved)
    assert refused > 30


@pytest.mark.parametrize(
    "state", ["[]", "{}", '{"global_step": 7}', '{"global_step": 3, "log_history": [1]}', "[" * 10**5, "x"]
)
def test_a_state_that_trainer_did_not_write_is_refused(plan, saved, state):
    (saved / "trainer_state.json").write_text(state)
    content = json.loads((saved / MANIFEST).read_text())
    content["files"]["trainer_state.json"] = checkpoint_manifest._entry(saved / "trainer_state.json")
    forge(saved, content)
    assert standing(saved).manifest is not None
    with pytest.raises(SwiftError):
        choose(plan, saved, accept_changes=True)


def test_a_packed_state_is_refused_since_a_kilobyte_of_it_may_be_gigabytes(saved):
    with zipfile.ZipFile(saved / "optimizer.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", b"\0" * 10**7)
    content = json.loads((saved / MANIFEST).read_text())
    content["files"]["optimizer.pt"] = checkpoint_manifest._entry(saved / "optimizer.pt")
    forge(saved, content)
    assert content["files"]["optimizer.pt"]["size"] < 20_000
    assert "has packed parts in optimizer.pt" in standing(saved).problem


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "run.yaml", "completions.jsonl", "plugins", "set-aside", "plugins/x.py"]
)
def test_a_link_in_a_run_directory_is_not_written_through(plan, saved, tmp_path, name):
    outside = tmp_path / "outside"
    outside.write_text("mine") if "." in name else outside.mkdir()
    (saved.parent / name).parent.mkdir(exist_ok=True)
    (saved.parent / name).symlink_to(outside)
    for resume in (saved, saved.parent):
        with pytest.raises(SwiftError, match="run-links"):
            choose(plan, resume, accept_changes=True)
    assert outside.is_dir() or outside.read_text() == "mine"


# Model folders.


@pytest.fixture
def model_folder(tiny_folder, tmp_path):
    """A copy of a small model that a test may change."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in tiny_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("forced", ["", "1"])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "pytorch_model.pkl"])
def test_weights_that_are_pickles_are_refused_whatever_torch_is_told(model_folder, tmp_path, monkeypatch, name, forced):
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", forced)
    (model_folder / "model.safetensors").unlink()
    (model_folder / name).write_bytes(pickle.dumps(Bomb(tmp_path / "marker")))
    with pytest.raises(ValueError, match="are pickles"):
        load_weights(model_folder, Loading())
    assert not (tmp_path / "marker").exists()


def test_a_pickle_beside_safetensors_is_not_read(model_folder, tmp_path):
    (model_folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "marker")))
    load_weights(model_folder, Loading())
    assert not (tmp_path / "marker").exists()


def test_a_model_folder_cannot_put_another_model_in_its_place(model_folder):
    (model_folder / "adapter_config.json").write_text(
        '{"base_model_name_or_path": "stranger/model", "peft_type": "LORA"}'
    )
    with pytest.raises(ValueError, match="would put another model in its place"):
        load_weights(model_folder, Loading())


@pytest.mark.parametrize("model_type", ["llama", "stranger"])
def test_code_of_a_model_folder_is_not_imported(model_folder, tmp_path, monkeypatch, model_type):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    code = f"import os; os.mkdir({str(tmp_path / 'marker')!r})\n"
    (model_folder / "evil.py").write_text(code)
    config = json.loads((model_folder / "config.json").read_text())
    classes = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model", "AutoTokenizer": ["evil.T", None]}
    (model_folder / "config.json").write_text(json.dumps({**config, "model_type": model_type, "auto_map": classes}))
    tokenizer = json.loads((model_folder / "tokenizer_config.json").read_text())
    (model_folder / "tokenizer_config.json").write_text(json.dumps({**tokenizer, "auto_map": classes}))
    if model_type == "stranger":
        with pytest.raises(ValueError, match="cannot be loaded"):
            load_weights(model_folder, Loading())
    else:
        load_weights(model_folder, Loading())
    with suppress(ValueError):  # this one's class may be ours all the same
        load_tokenizer(model_folder)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    "header", [b'{"a": 1}', b'{"a": {"shape": "x"}}', b'{"a": {"shape": [1e9], "dtype": []}}', b"[" * 10**5, b"[]", b""]
)
def test_a_header_of_weights_that_is_none_says_nothing_of_the_model(tmp_path, header):
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    (tmp_path / "config.json").write_text("[" * 10**5)
    facts = read_model(Path(tmp_path))
    assert (facts.num_parameters, facts.config) == (0, {})
