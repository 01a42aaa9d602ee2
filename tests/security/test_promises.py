"""The tests that SECURITY.md names are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def table():
    """Yield the cells with tests of the table of threats."""
    for line in (ROOT / "SECURITY.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and "tests/" in cells[-1]:
            yield cells[-1]


def test_every_test_that_a_promise_names_exists():
    cells = list(table())
    assert len(cells) == 10
    for cell in cells:
        files = re.findall(r"`(tests/[\w/.]+)`", cell)
        assert all((ROOT / name).exists() for name in files), cell
        folders = {(ROOT / name).parent for name in files} | {ROOT / name for name in files if (ROOT / name).is_dir()}
        source = "".join(path.read_text(encoding="utf-8") for folder in folders for path in folder.glob("*.py"))
        for name in re.findall(r"`([a-z_]+)`", cell):
            assert f"def test_{name}(" in source, name
