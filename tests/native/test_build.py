"""What the compiled kernels must not share with the rest, and a smoke run of the benchmark; from the source tree."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import swift_native

ROOT = Path(__file__).parents[2]
CPP = ROOT / "packages/swift-native/cpp"
KERNELS = sorted(path.name for path in (CPP / "kernels").glob("*.cpp"))


def compiler():
    found = shutil.which(os.environ.get("CXX", "c++"))
    if sys.platform == "win32" or not found or not shutil.which("nm"):
        pytest.skip("no compiler and nm to look into a kernel with")
    return found


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_shares_no_inline_code_and_needs_nothing_but_the_square_root(tmp_path, name):
    """A weak symbol is inline code that a linker may merge: a plain processor could then meet AVX-512 instructions."""
    flags = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fvisibility=hidden"]
    warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
    made = tmp_path / "kernel.o"
    paths = ["-I", str(CPP), "-c", str(CPP / "kernels" / name), "-o", str(made)]
    subprocess.run([compiler(), *flags, *warnings, "-DSWIFT_NATIVE_KERNELS=kernels_baseline", *paths], check=True)

    listed = subprocess.run(["nm", str(made)], capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-2:] for line in listed.splitlines()]
    assert [symbol for kind, symbol in symbols if kind in "WwVvu"] == []
    undefined = {symbol for kind, symbol in symbols if kind == "U"}
    ours = {symbol for symbol in undefined if "kernels_baseline" in symbol}
    assert undefined - ours <= {"sqrtf", "_sqrtf", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}


@pytest.mark.parametrize("extra", [[], ["-DSWIFT_NATIVE_X86_64"]])
def test_what_the_wheel_gives_to_others_compiles_under_its_public_names_alone(tmp_path, extra):
    include = Path(swift_native.__file__).parent / "include"
    names = sorted(path.relative_to(include).as_posix() for path in include.rglob("*.?pp"))
    assert len([name for name in names if name.endswith(".hpp")]) == 9
    if extra and platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("for x86-64")
    whole = tmp_path / "whole.cpp"
    whole.write_text("".join(f"#include <{name}>\n" for name in names))
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Wno-unused-function", "-Wconversion", "-Wshadow", "-Werror", *extra]
    command = [compiler(), *flags, "-DSWIFT_NATIVE_KERNELS=mine", "-I", str(include), "-fsyntax-only", str(whole)]
    subprocess.run(command, check=True)


def test_every_kernel_source_is_listed_for_the_build():
    listed = (ROOT / "packages/swift-native/CMakeLists.txt").read_text()
    assert [path for path in CPP.rglob("*.cpp") if path.relative_to(CPP.parent).as_posix() not in listed] == []


def test_the_benchmark_prints_a_row_for_each_variant():
    script = ROOT / "benchmarks/native_adamw.py"
    options = ["--elements", "1000", "--rounds", "1", "--variants", "native", "huge"]
    done = subprocess.run([sys.executable, str(script), *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = [line[:38].strip() for line in done.stdout.splitlines()[2:]]
    assert names[:4] == ["torch fused", "bound", "bound, huge pages", "native fp32"]
    assert len(names) == 10
