"""Bounds of options that a class states in `check_options`, read without importing it."""

from __future__ import annotations

import pytest

from swift_core.plugins.bounds import bounds_in
from swift_core.plugins.classes import ClassSource
from swift_core.plugins.source import find, read_module

SHARED = '''
from swift_core.plugin_api import require_between, require_nonnegative


def check_shared(options):
    """Check what all have."""
    require_nonnegative(lr=float(options.get("lr", 0.0)))
    require_between(0.0, 1.0, beta1=options.get("betas", (0, 0))[0], beta2=options["betas"][1])


class Base:
    @staticmethod
    def check_options(options):
        check_shared(options)
        require_between(-1.0, 0.0, decay=options["decay"])


class Middle(Base):
    pass
'''

PLUGIN = '''
from swift_core.plugin_api import require_positive
from shared_bounds import Middle
from elsewhere import require_integer


class Plugin(Middle):
    def __init__(self, *, beta=1.0, pair=(0.0, 0.0)):
        require_positive(beta=beta)
        require_positive(first=pair[0])

    @staticmethod
    def check_options(given):
        """Check."""
        Middle.check_options(given)
        require_integer(1, rank=given["rank"], other=given["rank"], count=len(given["names"]))
        require_positive(step=given[0])
        if given["rank"]:
            require_positive(scale=given["scale"])
        unknown(given)


class Two:
    @staticmethod
    def check_options(source, given):
        require_positive(rank=given["rank"])


class Circle:
    @staticmethod
    def check_options(options):
        Circle.check_options(options)
        require_positive(rank=options["rank"])
'''


@pytest.fixture
def bounds_of(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "shared_bounds.py").write_text(SHARED, encoding="utf-8")
    (tmp_path / "plugin_bounds.py").write_text(PLUGIN, encoding="utf-8")
    module = read_module("plugin_bounds")
    return lambda name: bounds_in(ClassSource.read(find(module, name)))


def test_bounds_are_read_through_functions_and_bases_that_the_options_are_handed_to(bounds_of):
    assert bounds_of("Plugin") == {
        "beta": {"exclusiveMinimum": 0},
        "pair": {"items": {"exclusiveMinimum": 0}},
        "lr": {"minimum": 0},
        "betas": {"items": {"minimum": 0.0, "exclusiveMaximum": 1.0}},
        "decay": {"minimum": -1.0, "exclusiveMaximum": 0.0},
        "rank": {"minimum": 1},
    }


def test_a_method_of_another_form_states_nothing(bounds_of):
    assert bounds_of("Two") == {}


def test_a_check_that_calls_itself_ends(bounds_of):
    assert bounds_of("Circle") == {"rank": {"exclusiveMinimum": 0}}
