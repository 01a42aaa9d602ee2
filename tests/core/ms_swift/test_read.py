"""What a file registers is seen without running it."""

import re
import textwrap
from pathlib import Path

import pytest

from swift_core.errors import SwiftError
from swift_core.ms_swift import load, stand_ins
from swift_core.ms_swift.names import SUPPORTED
from swift_core.ms_swift.read import read
from swift_core.ms_swift.stand_ins import Record

FOURTH = Path(__file__).parent / "files" / "fourth.py"
EXAMPLES = Path(__file__).parents[3] / "examples" / "ms_swift"


@pytest.fixture
def reading(tmp_path):
    def reading(source):
        path = tmp_path / "plugin.py"
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return read(path, "plugin.py")

    return reading


FORMS = {
    "assignment": "from swift.plugin import orms\nclass A: ...\norms['mine'] = A",
    "under another name": "from swift.plugin.orm import orms as rewards\nclass A: ...\nrewards['mine'] = A",
    "through the module": "import swift.plugin\nclass A: ...\nswift.plugin.orms['mine'] = A",
    "through a renamed module": "import swift.plugin.orm as o\nclass A: ...\no.orms['mine'] = A",
    "through an imported module": "from swift import plugin\nclass A: ...\nplugin.orms['mine'] = A",
    "update with a mapping": "from swift.plugin import orms\nclass A: ...\norms.update({'mine': A})",
    "update with a keyword": "from swift.plugin import orms\nclass A: ...\norms.update(mine=A)",
    "setdefault": "from swift.plugin import orms\nclass A: ...\norms.setdefault('mine', A)",
    "star import": "from swift.plugin import *\nclass A: ...\norms['mine'] = A",
    "decorator": "from swift.plugin import orms\n@orms.register('mine')\nclass A: ...",
    "registration of a class": "from swift.plugin import orms\nclass A: ...\norms.register('mine')(A)",
    "inside an if": "from swift.rewards import orms\nclass A: ...\nif True:\n    orms['mine'] = A",
}


@pytest.mark.parametrize("source", FORMS.values(), ids=FORMS.keys())
def test_every_form_of_registration_is_seen_and_runs(reading, source):
    found = reading(source)
    (spec,) = found.specs()
    assert (spec.kind, spec.name) == ("orm", "mine")
    assert load.run_file(spec.path).plugins["orm", "mine"].__name__ == "A"


def test_a_decorated_function_is_a_loss(reading):
    found = reading(
        """
        from swift.plugin.loss import register_loss_func

        @register_loss_func('mine')
        def mine(outputs, labels): ...
        """
    )
    assert list(found.registrations) == [("loss", "mine")]


def test_callbacks_of_the_list_are_counted_in_order(reading):
    found = reading(
        """
        from swift.plugin import extra_callbacks
        extra_callbacks.append(A())
        extra_callbacks += [B(), C()]
        extra_callbacks.extend([D()])
        """
    )
    assert [name for _, name in found.registrations] == [f"extra_callbacks.{index}" for index in range(4)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("from swift.llm import Template, to_device", "Template, to_device of swift.llm is not here"),
        ("from swift.plugin import rm_plugins\nrm_plugins['x'] = 1", "rm_plugins has no place here: name the run of"),
        ("from swift.plugin import multi_turns\nmulti_turns['x'] = 1", "multi_turns has no place here"),
        ("from swift.llm import register_dataset\nregister_dataset(1)", "register_dataset has no place here"),
        (
            "from swift.plugin import orms\nfor n in 'ab':\n    orms[n] = 1",
            "the orm is registered under a name that is",
        ),
        ("from swift.plugin import orms\norms['a'] = 1\norms['a'] = 2", "'a' is registered in line 2 too"),
        ("from swift.plugin import orms\norms = {}", "orms is replaced"),
    ],
)
def test_what_has_no_place_is_told_with_its_line(reading, line, said):
    (one,) = reading(line).left_out
    assert said in one.message
    assert one.line == line.count("\n") + 1


def test_imports_for_type_checkers_are_not_looked_at(reading):
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from swift.llm import Template"
    assert not reading(source).left_out


def test_a_file_that_is_not_python_is_told_with_line_and_column(reading):
    with pytest.raises(SwiftError, match=re.escape("plugin.py:2:5: error[broken-plugin]: plugin.py is not valid")):
        reading("x = 1\nif x\n")


def test_both_versions_are_read_whole():
    example = read(EXAMPLES / "plugin.py", "plugin.py")
    assert {kind for kind, _ in example.registrations} == {
        *("loss", "loss_scale", "metric", "optimizer", "callback", "tuner")
    }
    assert not example.left_out
    fourth = read(FOURTH, "fourth.py")
    assert len(fourth.registrations) == 10
    assert [one.message.split()[0] for one in fourth.left_out] == [
        *("ModelMeta", "DefaultRMPlugin", "register_model", "rm_plugins")
    ]


def test_every_name_that_is_called_supported_is_there():
    package = stand_ins.Package(Record())
    module = package.module("swift.plugin")
    for name in SUPPORTED:
        assert not isinstance(getattr(module, name), stand_ins._AbsentType), name
