"""Every bad run file of this folder gets exactly the message that stands beside it.

`python tests/core/bad_runs/test_bad_runs.py` writes the messages anew; read the difference before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swift_core.errors import SwiftError
from swift_core.plugins.registry import Registry, installed
from swift_core.read import read_plan
from swift_core.resolve.machine import Machine

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.yaml"))
MARK = "# overrides: "


def first_party() -> Registry:
    """Return the plugins of this project alone: what else is installed must not change a message."""
    found = installed().found
    ours = {spec.distribution for spec in found.specs if spec.first_party}
    specs = tuple(spec for spec in found.specs if spec.distribution in ours)
    distributions = {name: each for name, each in found.distributions.items() if name in ours}
    return Registry(found._replace(specs=specs, distributions=distributions))


def message_of(name: str) -> str:
    """Return what the command line would print; the file is named as it was typed, in its own folder."""
    path = Path(f"{name}.yaml")
    first_line = path.read_bytes().partition(b"\n")[0].decode("utf-8", "replace")
    overrides = first_line.removeprefix(MARK).split() if first_line.startswith(MARK) else []
    try:
        read_plan(path, overrides, first_party(), machine=Machine(num_gpus=0))
    except SwiftError as error:
        return f"{error}\n".replace(str(HERE), "(folder)")
    return "nothing is wrong\n"


def test_there_are_enough_of_them() -> None:
    assert len(NAMES) >= 60


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_run_file_gets_its_message(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    for variable in ("SWIFT_PLUGINS", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)

    message = message_of(name)

    assert message == Path(f"{name}.txt").read_text(encoding="utf-8")
    assert message != "nothing is wrong\n"


if __name__ == "__main__":
    os.chdir(HERE)
    for each in NAMES:
        Path(f"{each}.txt").write_text(message_of(each), encoding="utf-8")
