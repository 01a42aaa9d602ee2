"""What importing the public API gives, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys

import swift_core.plugin_api

HEAVY = {"torch", "transformers", "peft", "datasets", "accelerate", "numpy", "pydantic", "ruamel", "rich", "click"}


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_importing_the_plugin_api_loads_no_library():
    assert modules_after("import swift_core.plugin_api") & HEAVY == set()


def test_importing_core_loads_none_of_its_parts():
    code = "import swift_core, sys; print([name for name in sys.modules if name.startswith('swift_core.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_these():
    assert sorted(swift_core.plugin_api.__all__) == PUBLIC


def test_every_public_name_is_there():
    assert [name for name in PUBLIC if not hasattr(swift_core.plugin_api, name)] == []


PUBLIC: list[str] = []
