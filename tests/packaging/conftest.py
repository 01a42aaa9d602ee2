"""The five distributions: those that `SWIFT_DIST` names, else built here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "packages"


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sdist and the wheel of each package."""
    if given := os.environ.get("SWIFT_DIST"):
        return Path(given)
    folder = tmp_path_factory.mktemp("dist")
    for package in sorted(path.parent for path in PACKAGES.glob("*/pyproject.toml")):
        command = [sys.executable, "-m", "build", "--outdir", str(folder), str(package)]
        built = subprocess.run(command, capture_output=True, text=True)
        assert built.returncode == 0, built.stdout + built.stderr
    return folder
