"""Models that many tests share: each is made once a session, offline."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with its tokenizer; nobody may write into it."""
    from swift_core.testing.tiny import tiny_model

    return tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    """The pre-trained model `demo:tiny`, from the user's cache; made there (some 15 s) when this recipe is new."""
    from swift_core.demo.recipe import cached_tiny

    return cached_tiny()
