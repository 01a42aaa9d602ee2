"""C++ files beside a run file: read without building, built once, told with their place when they are wrong."""

import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.reference.lion import LionReference

from swift_core.contracts.plugin import PluginSpec
from swift_core.errors import SwiftError
from swift_core.plugins.cpp_build import compile_error
from swift_core.plugins.cpp_source import bindings_in, source_of_cpp, sources_of
from swift_core.plugins.files import find_file
from swift_core.plugins.identity import content_hash
from swift_core.plugins.kinds import KINDS

EXAMPLE = Path(__file__).parents[3] / "examples" / "cpp_optimizer"

SMALL = """\
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <string>
#include <vector>
namespace py = pybind11;
// m.def("commented", &out);
struct Short {
    double limit;
    std::vector<double> call(const std::vector<std::string>& completions) const {
        std::vector<double> scores;
        for (const auto& text : completions) scores.push_back(text.size() < limit ? 1.0 : 0.0);
        return scores;
    }
};
std::vector<double> length(const std::vector<std::string>& completions, double unit, bool negate) {
    std::vector<double> scores;
    for (const auto& text : completions) scores.push_back((negate ? -1.0 : 1.0) * text.size() / unit);
    return scores;
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("length", &length, py::arg("completions"), py::kw_only(), py::arg("unit"), py::arg("negate") = false);
    py::class_<Short>(m, "Short")
        .def(py::init<double>(), py::kw_only(), py::arg("limit") = 5.0)
        .def("__call__", &Short::call, py::arg("completions"));
    m.attr("Short").attr("scope") = "sample";
}
"""


def spec_of(path, name, kind="orm"):
    return PluginSpec(kind, name, f"{path}:{name}", "(file)", "", "file", path=path)


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.cpp"
    path.write_text(SMALL)
    return path


def test_what_is_bound_is_read_from_the_text(small):
    bound = bindings_in(SMALL)
    assert {name: binding.is_class for name, binding in bound.items()} == {"length": False, "Short": True}
    assert str(bound["length"].signature()) == "(completions, *, unit, negate=False)"
    assert [bound[name].line for name in ("length", "Short")] == [21, 22]
    source = source_of_cpp(spec_of(small, "Short"))
    assert [(option.name, option.default, option.required) for option in source.options] == [("limit", 5.0, False)]
    assert source.declared == {"scope": "sample"}


def test_user_literals_and_defaults_that_are_no_literals_are_read():
    text = (
        'm.def("f", &f, "x"_a, py::kw_only(), "a"_a = -1.5e-3f, "b"_a = std::make_pair(1, 2), "c"_a = "d", "e"_a = 3);'
    )
    (binding,) = bindings_in(text).values()
    assert [(one.name, None if one.required else one.default) for one in binding.arguments] == [
        ("x", None),
        ("a", -1.5e-3),
        ("b", None),
        ("c", "d"),
        ("e", 3),
    ]


@pytest.mark.parametrize(("name", "said"), [("lenght", "Did you mean 'length'"), ("commented", "It has Short, length")])
def test_a_name_that_is_not_bound_is_told_before_anything_is_built(small, name, said):
    with pytest.raises(SwiftError, match=said):
        find_file(KINDS["orm"], f"./small.cpp:{name}", small.parent)


def test_a_header_beside_the_file_belongs_to_it(small):
    before = content_hash(spec_of(small, "Short"))
    header = small.with_name("near.hpp")
    header.write_text("// one\n")
    small.write_text('#include "near.hpp"\n' + SMALL)
    assert sources_of(small) == [header, small]
    with_header = content_hash(spec_of(small, "Short"))
    header.write_text("// two\n")
    assert len({before, with_header, content_hash(spec_of(small, "Short"))}) == 3


def test_errors_of_a_compiler_are_told_with_their_places(small):
    output = (
        f"{small}: In function:\n{small}:9:5: error: 'x' was not declared\n{small}:12:1: fatal error: no.h: No such\n"
    )
    error = compile_error(small, output)
    assert [(one.place.line, one.place.column, one.message) for one in error.problems] == [
        (9, 5, "'x' was not declared"),
        (12, 1, "no.h: No such"),
    ]
    assert (
        error.problems[0].place.text
        == "    std::vector<double> call(const std::vector<std::string>& completions) const {"
    )


def test_an_unreadable_failure_shows_what_was_said_last(small):
    assert "ld: cannot find -lx" in str(compile_error(small, "ld: cannot find -lx\n"))


PLAN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:chat"}
train: {optimizer_type: ./lion.cpp:Lion, optimizer_kwargs: {OPTIONS}}
"""


def planned(folder, options=""):
    from swift_core.config.load import load
    from swift_core.plugins.registry import installed
    from swift_core.resolve.plan import resolve

    shutil.copy(EXAMPLE / "lion.cpp", folder)
    (folder / "run.yaml").write_text(PLAN.replace("OPTIONS", options))
    return resolve(load(folder / "run.yaml"), installed(), planning=True)


def test_planning_builds_nothing_and_says_that_training_will(tmp_path, monkeypatch):
    monkeypatch.setenv("SWIFT_CACHE", str(tmp_path / "cache"))
    plan = planned(tmp_path)
    assert "lion.cpp is built with the C++ compiler before training, once" in plan.notes
    assert not (tmp_path / "cache").exists()
    assert plan.optimizer.options["lr"] == plan.settings.train.learning_rate


def test_an_option_that_is_not_there_is_told_at_its_place(tmp_path):
    with pytest.raises(SwiftError, match=r"run\.yaml:3:61: error\[unknown-option\].*'weight_decai'.*Did you mean"):
        planned(tmp_path, "weight_decai: 0.1")


def test_a_machine_without_a_compiler_is_told_when_planning(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    with pytest.raises(SwiftError, match=r"run\.yaml:3:25: error\[missing-compiler\]"):
        planned(tmp_path)


needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of compiled modules that the tests of this file share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def optimizer(cache, monkeypatch):
    """Return the class of the example, built once for this file."""
    from swift_core.plugins.cpp import load_cpp

    monkeypatch.setenv("SWIFT_CACHE", str(cache))
    return load_cpp(spec_of(EXAMPLE / "lion.cpp", "Lion", "optimizer"))


@needs_compiler
def test_the_example_moves_as_its_reference_in_float64_does(optimizer):
    import torch

    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(7, 5, generator=generator))
    settings = {"lr": 0.02, "betas": (0.9, 0.98), "weight_decay": 0.1}
    reference = LionReference(weight.detach().double().numpy(), **settings)
    stepper = optimizer([weight], **settings)
    for _ in range(20):
        weight.grad = torch.randn(7, 5, generator=generator)
        stepper.step()
        reference.step(weight.grad.double().numpy())
    np.testing.assert_allclose(weight.detach().double().numpy(), reference.weight, rtol=1e-5, atol=1e-6)
    assert isinstance(stepper, torch.optim.Optimizer)
    assert stepper.state_dict()["state"][0]["exp_avg"].shape == (7, 5)


@needs_compiler
def test_what_it_refuses_is_a_python_error(optimizer):
    import torch

    with pytest.raises(ValueError, match="lr must be > 0"):
        optimizer([torch.nn.Parameter(torch.ones(1))], lr=0.0)
    weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    weight.grad = torch.ones_like(weight)
    with pytest.raises(ValueError, match="float32"):
        optimizer([weight], lr=0.1).step()
    assert str(inspect.signature(optimizer)) == "(params, *, lr=0.0001, betas=None, weight_decay=0.0)"


@needs_compiler
def test_a_run_trains_with_it_and_checkpoints_its_state(optimizer, tmp_path, demo_folder):
    from swift_core.run import run

    shutil.copytree(EXAMPLE, tmp_path / "example")
    keys = ("train.max_steps=4", "train.logging_steps=1", "train.save_steps=2", f"output_dir={tmp_path / 'out'}")
    out = run(tmp_path / "example" / "run.yaml", keys, allow_code=True)
    losses = [
        line["loss"] for line in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()) if "loss" in line
    ]
    assert losses[-1] < losses[0]
    assert len(list((out / "plugins").glob("lion-*.cpp"))) == 1
    import torch

    state = torch.load(out / "checkpoint-4" / "optimizer.pt", weights_only=True)
    assert all(set(values) == {"exp_avg"} for values in state["state"].values())


@needs_compiler
@pytest.mark.slow
def test_functions_and_classes_are_rewards_of_which_one_process_builds(small, cache, monkeypatch):
    from swift_core.assemble.rewards import adapt_reward
    from swift_core.plugins.building import build
    from swift_core.plugins.cpp import load_cpp

    monkeypatch.setenv("SWIFT_CACHE", str(cache))
    code = (
        f"from pathlib import Path\nfrom swift_core.plugins.cpp_build import built\nprint(built(Path({str(small)!r})))"
    )
    racing = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    ways = {process.communicate(timeout=300)[0].strip() for process in racing}
    assert len(ways) == 1
    assert [process.returncode for process in racing] == [0, 0]
    function = build(load_cpp(spec_of(small, "length")), {"unit": 2, "negate": True})
    assert function(["abcd"]) == [-2.0]
    assert adapt_reward("length", function).dialect == "completions"
    built_class = build(load_cpp(spec_of(small, "Short")), {"limit": 3.0})
    assert built_class(["ab", "abc"]) == [1.0, 0.0]
    assert adapt_reward("Short", built_class).required == ()
    assert built_class.scope == "sample"


@needs_compiler
@pytest.mark.slow
def test_a_file_that_does_not_compile_is_told_without_a_traceback(small, cache, monkeypatch):
    from swift_core.plugins.cpp_build import built

    monkeypatch.setenv("SWIFT_CACHE", str(cache))
    small.write_text(SMALL.replace("double limit;", "duble limit;"))
    with pytest.raises(
        SwiftError, match=r"small\.cpp:8:5: error\[compile-error\]: \S+duble\S+ does not name a type"
    ) as failure:
        built(small)
    assert failure.value.exit_code == 2
