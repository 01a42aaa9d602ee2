"""Every test that takes `spec` runs over the installed plugins of its module's `KIND`, whoever wrote them."""

from __future__ import annotations

import pytest
import torch

from swift_core.plugins.options import build, read_source
from swift_core.plugins.registry import installed

NUM_PAIRS, NUM_TOKENS, TIME, VOCABULARY = 4, 9, 6, 13


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "spec" in metafunc.fixturenames:
        specs = installed().specs(getattr(metafunc.module, "KIND", None))
        metafunc.parametrize("spec", specs, ids=[f"{spec.kind}-{spec.distribution}-{spec.name}" for spec in specs])


@pytest.fixture
def source(spec):
    """What the source of the plugin says."""
    return read_source(spec)


@pytest.fixture
def target(spec):
    """The class or function itself."""
    return installed().load(spec)


@pytest.fixture
def plugin(target):
    """The plugin, built with its defaults."""
    return build(target, {})


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
