"""What the wheels and sdists hold, and what their metadata promises."""

from __future__ import annotations

import configparser
import email
import email.message
import importlib.util
import os
import re
import sysconfig
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
IMPORT_NAMES = ("swift_core", "swift_loss_zoo", "swift_optim_zoo", "swift_reward_zoo", "swift_native")

GROUPS = {
    "swift_core": {
        "console_scripts",
        "swift.losses",
        "swift.optimizers",
        "swift.schedulers",
        "swift.tuners",
        "swift.metrics",
        "swift.loss_scales",
        "swift.agent_templates",
        "swift.callbacks",
        "swift.trainers",
        "swift.datasets",
        "swift.hubs",
        "swift.exporters",
        "swift.engines",
        "swift.multi_turns",
        "swift.pools",
        "swift.orms",
    },
    "swift_loss_zoo": {"swift.losses"},
    "swift_optim_zoo": {"swift.optimizers", "swift.schedulers"},
    "swift_reward_zoo": {"swift.orms", "swift.prms"},
    "swift_native": {"cmake.prefix", "swift.optimizers"},
}
CODE = {".py", ".pyi", ".typed"}
DATA = {
    "swift_core": {
        "artifacts/assets/report.css",
        "artifacts/assets/report.js",
        "artifacts/assets/uplot/LICENSE",
        "artifacts/assets/uplot/README.md",
        "artifacts/assets/uplot/uPlot.iife.min.js",
        "artifacts/assets/uplot/uPlot.min.css",
        "artifacts/templates/report.html.j2",
        "cli/demo_files/smollm2/dpo.yaml",
        "cli/demo_files/smollm2/sft.yaml",
        "cli/demo_files/tiny/dpo.yaml",
        "cli/demo_files/tiny/sft.yaml",
    },
    "swift_native": {
        "cmake/swift_native-config-version.cmake",
        "cmake/swift_native-config.cmake",
        "cmake/swift_native-kernels.cmake",
        "include/swift_native/dispatch/choose.hpp",
        "include/swift_native/dispatch/isa.cpp",
        "include/swift_native/dispatch/isa.hpp",
        "include/swift_native/driver/chunks.cpp",
        "include/swift_native/driver/chunks.hpp",
        "include/swift_native/driver/counter.hpp",
        "include/swift_native/kernels/element.hpp",
        "include/swift_native/kernels/prefetch.hpp",
        "include/swift_native/kernels/random.hpp",
        "include/swift_native/threads/float_mode.cpp",
        "include/swift_native/threads/float_mode.hpp",
        "include/swift_native/threads/pool.cpp",
        "include/swift_native/threads/pool.hpp",
    },
}
"""All that a wheel holds beside code; swift_native has its compiled module too."""

every_package = pytest.mark.parametrize("name", IMPORT_NAMES)


def wheel(dist: Path, name: str) -> zipfile.ZipFile:
    (path,) = dist.glob(f"{name}-*.whl")
    return zipfile.ZipFile(path)


def metadata(dist: Path, name: str) -> email.message.Message:
    archive = wheel(dist, name)
    (path,) = [path for path in archive.namelist() if path.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(archive.read(path))


def entry_points(dist: Path, name: str) -> configparser.ConfigParser:
    archive = wheel(dist, name)
    (path,) = [path for path in archive.namelist() if path.endswith(".dist-info/entry_points.txt")]
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.read_string(archive.read(path).decode())
    return parser


@every_package
def test_a_wheel_holds_its_package_and_nothing_stray(dist, name):
    tops = {PurePosixPath(path).parts[0] for path in wheel(dist, name).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {name}

    inside = [
        PurePosixPath(path).relative_to(name) for path in wheel(dist, name).namelist() if path.startswith(f"{name}/")
    ]
    others = {path for path in inside if path.suffix not in CODE}
    compiled = {path for path in others if path.match("_native.*.so")} if name == "swift_native" else set()
    assert {str(path) for path in others - compiled} == DATA.get(name, set())
    assert len(compiled) == (name == "swift_native")


@every_package
def test_a_wheel_holds_every_module_of_its_source_folder(dist, name):
    (source,) = ROOT.glob(f"packages/*/src/{name}")
    here = {path.relative_to(source.parent).as_posix() for path in source.rglob("*.py")}
    assert here <= set(wheel(dist, name).namelist())


@every_package
def test_a_wheel_holds_its_licence_and_says_that_it_is_typed(dist, name):
    paths = wheel(dist, name).namelist()
    assert f"{name}/py.typed" in paths
    (licence,) = [path for path in paths if path.endswith(".dist-info/licenses/LICENSE")]
    assert b"Apache License" in wheel(dist, name).read(licence)


@every_package
def test_a_wheel_announces_its_plugins_and_their_modules_are_in_it(dist, name):
    groups = entry_points(dist, name)
    assert set(groups.sections()) == GROUPS[name]
    paths = set(wheel(dist, name).namelist())
    for group in groups.sections():
        for plugin, target in groups[group].items():
            module = target.partition(":")[0].replace(".", "/")
            assert {f"{module}.py", f"{module}/__init__.py"} & paths, f"{group} {plugin} = {target}"


@every_package
def test_an_sdist_builds_the_same_and_holds_no_tests_or_leftovers(dist, name):
    (path,) = dist.glob(f"{name}-*.tar.gz")
    with tarfile.open(path) as archive:
        inside = [PurePosixPath(*PurePosixPath(member.name).parts[1:]) for member in archive if member.isfile()]
    tops = {path.parts[0] for path in inside}
    required = {"src", "README.md", "CHANGELOG.md", "LICENSE", "PKG-INFO", "pyproject.toml"}
    sources = {"cmake", "cpp", "CMakeLists.txt"} if name == "swift_native" else set()
    assert required | sources <= tops <= required | sources | {".gitignore"}
    assert [str(path) for path in inside if path.suffix in {".pyc", ".so", ".o"}] == []


@every_package
def test_metadata_names_python_licence_and_readme(dist, name):
    fields = metadata(dist, name)
    assert fields["Requires-Python"] == ">=3.10"
    assert fields["License-Expression"] == "Apache-2.0"
    assert f"# {name.replace('_', '-')}" in fields.get_payload()
    versions = [line.rpartition(" ")[2] for line in fields.get_all("Classifier") if re.search(r":: 3\.\d+$", line)]
    assert versions == ["3.10", "3.11", "3.12", "3.13", "3.14"]


def test_only_core_requires_torch_and_by_a_range(dist):
    lines = {name: metadata(dist, name).get_all("Requires-Dist") or [] for name in IMPORT_NAMES}
    torch = {name: [line for line in found if re.match(r"torch\b", line)] for name, found in lines.items()}
    assert {name: found for name, found in torch.items() if found} == {"swift_core": ["torch>=2.8"]}


@pytest.mark.parametrize("name", ["swift_loss_zoo", "swift_optim_zoo", "swift_reward_zoo"])
def test_a_zoo_requires_core_below_the_next_major_version(dist, name):
    lines = [line for line in metadata(dist, name).get_all("Requires-Dist") if line.startswith("swift-core")]
    assert lines in (["swift-core<1,>=0.1"], ["swift-core>=0.1,<1"])


def test_native_stands_alone(dist):
    assert metadata(dist, "swift_native").get_all("Requires-Dist") is None


@every_package
def test_no_build_requires_torch(name):
    (project,) = ROOT.glob(f"packages/{name.replace('_', '-')}/pyproject.toml")
    section = project.read_text().partition("[build-system]")[2].partition("[project]")[0]
    assert "requires" in section
    assert "torch" not in section


@every_package
@pytest.mark.skipif("SWIFT_DIST" not in os.environ, reason="only nox installs wheels; here they are editable")
def test_what_is_tested_is_the_installed_wheel(name):
    spec = importlib.util.find_spec(name)
    assert Path(spec.origin).is_relative_to(sysconfig.get_path("platlib"))
