"""Model sources: they say whether an id is theirs without work, and what is wrong with it in words."""

from __future__ import annotations

import pytest

KIND = "hub"
ODD = ["", "x", "./missing", "/missing/folder", "demo:missing", "gguf:missing.gguf", "a/b/c/d", "owner/name", "\0", "é"]


@pytest.mark.parametrize("model_id", ODD)
def test_it_says_whether_an_id_is_its_own(spec, plugin, model_id, tmp_path):
    assert plugin.claims(model_id, tmp_path) in (True, False)


@pytest.mark.parametrize("model_id", ["demo:missing", "gguf:missing.gguf", "./missing", "nobody/no-such-model"])
def test_an_id_that_leads_nowhere_is_refused_in_words(spec, plugin, model_id, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    assert plugin.peek(model_id, "main", tmp_path) is None
    with pytest.raises(ValueError, match=r"\w{3}"):
        plugin.fetch(model_id, "main", tmp_path)
