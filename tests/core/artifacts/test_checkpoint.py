"""A checkpoint that was damaged, or made by a stranger, is noticed; whatever the damage."""

import errno
import json
import os
import random

import pytest

from swift_core.artifacts import checkpoint_manifest
from swift_core.artifacts.checkpoint import clean, commit, newest_first, put_back, staging_of, standing
from swift_core.artifacts.checkpoint_manifest import MANIFEST, BrokenCheckpointError, _own_hash, verify

FILES = {
    "model.safetensors": 4096,
    "optimizer.pt": 9000,
    "rng_state.pth": 300,
    "scheduler.pt": 60,
    "trainer_state.json": 900,
    "inner/adapter_model.safetensors": 128,
}


def write(run, step):
    folder = staging_of(run, step) / f"checkpoint-{step}"
    for index, (name, size) in enumerate(FILES.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(random.Random(index + step).randbytes(size))
    return folder


@pytest.fixture
def saved(tmp_path):
    """A whole checkpoint."""
    write(tmp_path, 7)
    return commit(tmp_path, step=7, world=1, about={"eval_loss": 1.0}, limit=2)


def rewrite(folder, change):
    """Change the manifest as a stranger can, with a hash of itself that is right."""
    content = json.loads((folder / MANIFEST).read_text())
    del content["sha256"]
    change(content)
    content["sha256"] = _own_hash(content)
    (folder / MANIFEST).write_text(json.dumps(content))


def test_a_committed_checkpoint_is_whole(saved):
    manifest = verify(saved)
    assert (manifest.step, manifest.world, set(manifest.files)) == (7, 1, set(FILES))
    assert manifest.num_bytes == sum(FILES.values())
    assert [path.name for path in saved.parent.iterdir()] == ["checkpoint-7"]


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
@pytest.mark.parametrize("kind", ["flip", "flip again", "truncate", "empty", "grow", "delete"])
def test_every_damage_of_every_file_is_noticed(saved, name, kind):
    file, draw = saved / name, random.Random(f"{name} {kind}")
    content = bytearray(file.read_bytes())
    if kind.startswith("flip"):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        file.write_bytes(content)
    elif kind == "truncate":
        file.write_bytes(content[: draw.randrange(1, len(content))])
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "grow":
        file.write_bytes(content + b"x")
    else:
        file.unlink()
    one = standing(saved)
    assert one.manifest is None
    assert name in one.problem


@pytest.mark.parametrize("name", ["adapter_model.bin", "training_args.bin", "code.py", "more.safetensors", "in/x.json"])
def test_an_added_file_is_noticed(saved, name):
    (saved / name).parent.mkdir(exist_ok=True)
    (saved / name).write_bytes(b"data")
    assert name in standing(saved).problem


def test_of_very_many_added_files_no_more_are_looked_at_than_tell(saved, monkeypatch):
    for number in range(300):
        (saved / f"{number}.txt").write_bytes(b"")
    looked = []
    names = checkpoint_manifest._names
    monkeypatch.setattr(checkpoint_manifest, "_names", lambda folder: (looked.append(n) or n for n in names(folder)))
    assert ".txt, which its manifest does not list" in standing(saved).problem
    assert len(looked) <= len(FILES) + 2


@pytest.mark.parametrize(
    "name", ["../secret.json", "/etc/passwd", "a/../../b.json", "a//b.json", "C:x.json", "a\\b.json"]
)
def test_a_manifest_that_names_files_outside_its_folder_is_refused(saved, name):
    entry = {"size": 1, "xxh3_128": "0" * 32}
    rewrite(saved, lambda content: content["files"].update({name: entry}))
    with pytest.raises(BrokenCheckpointError, match="outside of its folder"):
        verify(saved)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "custom_checkpoint_0.pkl", "modeling.py", "x.so", "distcp"])
def test_a_listed_file_of_a_kind_that_runs_code_is_refused(saved, name):
    (saved / name).write_bytes(b"x")
    rewrite(saved, lambda content: content["files"].update({name: checkpoint_manifest._entry(saved / name)}))
    with pytest.raises(BrokenCheckpointError, match="no kind that is read"):
        verify(saved)


def test_a_link_is_refused_although_what_it_leads_to_is_right(saved, tmp_path):
    outside = tmp_path / "outside.json"
    (saved / "trainer_state.json").rename(outside)
    (saved / "trainer_state.json").symlink_to(outside)
    assert "link" in standing(saved).problem


def test_a_checkpoint_that_is_itself_a_link_is_refused(saved):
    link = saved.with_name("checkpoint-9")
    link.symlink_to(saved)
    assert "link" in standing(link).problem


def test_a_renamed_checkpoint_is_refused(saved):
    moved = saved.with_name("checkpoint-9")
    saved.rename(moved)
    assert standing(moved).problem == "holds the checkpoint of step 7"


@pytest.mark.parametrize(
    "content", ["", "[]", "{", "null", '{"sha256": 1}', "[" * 100_000, '{"files": [], "sha256": ""}']
)
def test_a_manifest_that_is_none_is_refused(saved, content):
    (saved / MANIFEST).write_text(content)
    assert standing(saved).manifest is None


@pytest.mark.parametrize("change", [{"format": 2}, {"files": {"model.safetensors": {}}}, {"files": 3}, {"step": None}])
def test_a_manifest_of_another_form_is_refused(saved, change):
    rewrite(saved, lambda content: content.update(change))
    assert standing(saved).manifest is None


CALLS = ("open", "fsync", "rename", "rmtree", "unlink")


class KilledError(BaseException):
    """Stands for SIGKILL: nothing that follows is run, no `except Exception` sees it."""


@pytest.mark.parametrize("at", range(15))
def test_a_run_killed_at_any_call_of_a_commit_keeps_a_whole_checkpoint(tmp_path, monkeypatch, at):
    """The calls that change the disk are counted, and the run dies before the one numbered `at`."""
    for step in (1, 2):
        write(tmp_path, step)
        commit(tmp_path, step=step, world=1, about={}, limit=2)
    write(tmp_path, 3)
    done = []

    def dying(original, name):
        def call(*args, **kwargs):
            if len(done) == at:
                raise KilledError
            done.append(name)
            return original(*args, **kwargs)

        return call

    with monkeypatch.context() as patched:
        for target, name in (
            ("os", "fsync"),
            ("pathlib.Path", "rename"),
            ("shutil", "rmtree"),
            ("pathlib.Path", "unlink"),
        ):
            owner = {"os": os, "shutil": __import__("shutil"), "pathlib.Path": type(tmp_path)}[target]
            patched.setattr(owner, name, dying(getattr(owner, name), name))
        with pytest.raises(KilledError):
            commit(tmp_path, step=3, world=1, about={}, limit=2)
    put_back(tmp_path)
    clean(tmp_path)
    newest = newest_first(tmp_path)
    assert all(standing(path).manifest for path in newest)
    assert newest[0].name == ("checkpoint-3" if "rename" in done else "checkpoint-2")
    assert {path.name for path in tmp_path.iterdir()} <= {"checkpoint-1", "checkpoint-2", "checkpoint-3"}
    write(tmp_path, 4)
    commit(tmp_path, step=4, world=1, about={}, limit=2)
    assert standing(tmp_path / "checkpoint-4").manifest


def test_a_step_saved_twice_is_replaced(tmp_path):
    for text in ("once", "twice"):
        (write(tmp_path, 3) / "note.txt").write_text(text)
        commit(tmp_path, step=3, world=1, about={}, limit=2)
    assert (tmp_path / "checkpoint-3" / "note.txt").read_text() == "twice"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-3"]


def test_a_refusing_disk_leaves_what_was_there(tmp_path, monkeypatch):
    write(tmp_path, 1)
    commit(tmp_path, step=1, world=1, about={}, limit=1)
    write(tmp_path, 2)

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        commit(tmp_path, step=2, world=1, about={}, limit=1)
    assert [path.name for path in newest_first(tmp_path)] == ["checkpoint-1"]
    assert standing(tmp_path / "checkpoint-1").manifest
