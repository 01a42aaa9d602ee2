from __future__ import annotations

import pytest

from swift_core.ms_swift import load


@pytest.fixture(autouse=True)
def own_files(monkeypatch):
    """Files that one test has run are forgotten by the next."""
    monkeypatch.setattr(load, "_records", {})
