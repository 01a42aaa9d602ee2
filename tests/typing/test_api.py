"""The public API, as a type checker sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

API = Path(__file__).with_name("api.py")


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    """Return a function that checks a file from outside the repository, against the installed packages."""
    folder = tmp_path_factory.mktemp("mypy")

    def check(file: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "cache", str(file)]
        return subprocess.run(command, capture_output=True, text=True, cwd=folder)

    return check


def test_a_third_partys_plugins_type_check(mypy):
    checked = mypy(API)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "contract"),
    [
        ("def matches(self, row: Mapping[str, Any]) -> bool:", "def matches(self) -> bool:", "DatasetFormat"),
        ("def __call__(self, tokens: TokenOutputs, /) -> LossOutput:", "def __call__(self) -> LossOutput:", "Loss"),
        ("-> Sequence[float | None]:", "-> Sequence[str]:", "OutcomeReward"),
    ],
)
def test_a_plugin_that_breaks_its_contract_does_not_type_check(mypy, tmp_path, right, wrong, contract):
    text = API.read_text()
    assert text.count(right) == 1
    broken = tmp_path / "broken.py"
    broken.write_text(text.replace(right, wrong))
    checked = mypy(broken)
    assert f'variable has type "{contract}")' in checked.stdout
