"""Core's formats by name, as an installed wheel declares them."""

from __future__ import annotations

from importlib.metadata import distribution

import pytest


@pytest.fixture(scope="session")
def formats():
    points = distribution("swift-core").entry_points.select(group="swift.datasets")
    return {point.name: point.load()() for point in points}
