"""What our sources call: nothing that unpickles, and code from data only where trust was asked for."""

import ast
import importlib.util
from pathlib import Path

import pytest

WHEELS = ("swift_core", "swift_loss_zoo", "swift_optim_zoo", "swift_reward_zoo", "swift_native")
FILES = {
    f"{wheel}/{path.relative_to(root).as_posix()}": path
    for wheel in WHEELS
    for root in [Path(importlib.util.find_spec(wheel).origin).parent]
    for path in sorted(root.rglob("*.py"))
}
UNPICKLING = {"dill", "cloudpickle", "joblib", "shelve", "marshal", "_pickle"}
"""Modules whose loading runs what the data says."""

RUN_CODE = {
    "swift_core/plugins/files.py",  # a plugin file beside the run file, in a folder that is trusted
    "swift_core/ms_swift/load.py",  # the same, written for ms-swift
    "swift_core/sandbox/child/program.py",  # a program that a model wrote, in a confined process
}


SAFE_TRUST = ("False", "may_run(folder)")


def unsafe(name, text):
    """Yield what a file does that it must not, as it is written."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = [one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (module for module in modules if module.partition(".")[0] in UNPICKLING)
            yield from (one.name for one in node.names if isinstance(node, ast.ImportFrom) and node.module == "pickle")
        elif isinstance(node, ast.Call) and _is_unsafe(name, node):
            yield ast.unparse(node)


def _is_unsafe(name, call):
    function, words = ast.unparse(call.func), {word.arg: ast.unparse(word.value) for word in call.keywords}
    if function in ("exec", "eval"):
        return name not in RUN_CODE
    if function == "torch.load":
        return words.get("weights_only") != "True"
    if words.get("trust_remote_code", "False") not in SAFE_TRUST:
        return True
    return function.startswith("pickle.") or function.rpartition(".")[2] in ("unsafe_load", "full_load")


def test_nothing_is_unpickled_and_code_runs_only_where_trust_was_asked_for():
    found = {name: list(unsafe(name, path.read_text(encoding="utf-8"))) for name, path in FILES.items()}
    assert not {name: lines for name, lines in found.items() if lines}


@pytest.mark.parametrize(
    "line",
    [
        "import dill",
        "from joblib import load",
        "from pickle import loads",
        "pickle.load(file)",
        "pickle.Unpickler(file).load()",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "eval(text)",
        "exec(text)",
        "yaml.unsafe_load(text)",
        "AutoModel.from_pretrained(folder, trust_remote_code=True)",
        "AutoModel.from_pretrained(folder, trust_remote_code=settings.trust)",
    ],
)
def test_what_must_not_be_there_is_found(line):
    assert list(unsafe("swift_core/new.py", line))


def test_all_wheels_are_looked_at():
    assert {name.partition("/")[0] for name in FILES} == set(WHEELS)
    assert len(FILES) > 500
    assert set(FILES) >= RUN_CODE
