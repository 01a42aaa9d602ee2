import json

import pytest
import torch

from swift_core.assemble.encoder import HfEncoder
from swift_core.assemble.generate import generate
from swift_core.assemble.model import Loading, load_tokenizer, load_weights
from swift_core.cache import cache_dir, make_once
from swift_core.demo import corpus, recipe


@pytest.fixture(scope="module")
def tiny(demo_folder):
    return load_weights(demo_folder, Loading()), HfEncoder(load_tokenizer(demo_folder))


def share_right(tiny, style, system):
    questions = [question for question in corpus._questions() if corpus._is_held_out(question)]
    head = [{"role": "system", "content": system}] if system else []
    prompts = [[*head, {"role": "user", "content": question.text}] for question in questions]
    answers = generate(*tiny, prompts, max_new_tokens=24, batch_size=50)
    return sum(a == question.reply(style) for a, question in zip(answers, questions, strict=True)) / len(questions)


@pytest.mark.parametrize(
    ("style", "system"), [("words", ""), ("sentence", corpus.ASK_SENTENCE), ("box", corpus.ASK_BOX)]
)
def test_the_pretrained_model_knows_its_world_in_every_style(tiny, style, system):
    assert share_right(tiny, style, system) >= 0.8


def test_it_does_not_use_the_style_of_the_chats_unasked(tiny):
    assert share_right(tiny, "sentence", "") <= 0.05


def test_it_is_small_and_its_template_marks_what_the_assistant_says(tiny, demo_folder):
    model, encoder = tiny
    assert 100_000 < model.num_parameters() < 150_000
    assert sum(file.stat().st_size for file in demo_folder.iterdir()) < 700_000
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    (start, end), *others = encoder.generation_marks(turns)
    assert encoder.render(turns)[start:end] == "b<|im_end|>"
    assert others == []


def test_the_recipe_is_deterministic_and_leaves_the_callers_state(monkeypatch, tmp_path):
    monkeypatch.setattr(recipe, "_NUM_DOCUMENTS", 200)
    monkeypatch.setattr(recipe, "_NUM_STEPS", 5)
    torch.manual_seed(7)
    expected, threads = torch.rand(1), torch.get_num_threads()
    torch.manual_seed(7)
    for name in ("one", "two"):
        recipe.make_tiny(tmp_path / name)
    assert torch.rand(1) == expected
    assert torch.get_num_threads() == threads
    for file in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("SWIFT_CACHE", raising=False)
    assert cache_dir() == tmp_path / "xdg" / "swift"
    monkeypatch.setenv("SWIFT_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    assert recipe.tiny_folder().parent == tmp_path / "own" / "demo"


def test_a_folder_is_made_once_and_whole(tmp_path):
    calls = []

    def fill(folder):
        calls.append(folder)
        (folder / "a.json").write_text(json.dumps(1))

    for _ in range(2):
        assert make_once(tmp_path / "deep" / "made", fill) == tmp_path / "deep" / "made"
    assert len(calls) == 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["made"]


def test_what_failed_half_way_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        make_once(tmp_path / "made", fail)
    assert list(tmp_path.iterdir()) == []


def test_whoever_finishes_second_takes_what_is_there(tmp_path):
    def overtaken(folder):
        (folder / "mine").touch()
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "theirs").touch()

    assert [path.name for path in make_once(tmp_path / "made", overtaken).iterdir()] == ["theirs"]
