"""Build a C++ file with torch's cpp_extension, once for each content, flags, compiler and torch, and import it."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.cache import cache_dir, make_once
from swift_core.errors import Place, Problem, SwiftError
from swift_core.plugins.cpp_source import sources_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

FLAGS = ("-O3",)

_ERROR = re.compile(
    r"^(?P<file>[^\s:]+):(?P<line>\d+):(?P<column>\d+): (?:fatal )?error: (?P<message>.*)$", re.MULTILINE
)
_MAX_SHOWN = 10
"""Errors that are shown; the first ones cause the others."""


def compiler() -> str:
    """Return the C++ compiler that torch will take; empty when there is none."""
    return shutil.which(os.environ.get("CXX") or "c++") or ""


def ninja_folder() -> str:
    """Return the folder that ninja is in, on the path or in the package of that name; empty when there is none."""
    found = shutil.which("ninja")
    if found:
        return str(Path(found).parent)
    package = importlib.util.find_spec("ninja")
    if package is None:
        return ""
    scripts = Path(sysconfig.get_path("scripts"))
    return str(scripts) if (scripts / "ninja").is_file() else ""


def missing_tools() -> list[Problem]:
    """Return what is missing to build C++ files."""
    problems = []
    if not compiler():
        next_step = "install a C++ compiler, such as g++ or clang++, or set CXX"
        problems.append(
            Problem("missing-compiler", "a C++ file needs a C++ compiler, and there is none", None, next_step)
        )
    if not ninja_folder():
        message = "a C++ file is built by ninja, which is not installed"
        problems.append(Problem("missing-package", message, None, "pip install ninja"))
    return problems


def built(path: Path) -> Path:
    """Return the compiled module of a C++ file; one process builds it while the others wait.

    Raises:
        SwiftError: A tool is missing, or the compiler found errors, each with its file, line and column.
    """
    if problems := missing_tools():
        raise SwiftError(problems)
    folder = _folder(path)
    name = folder.name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(f".{name}.lock")):
            make_once(folder, lambda staging: _compile(path, name, staging))
    return folder / f"{name}{_suffix()}"


def is_built(path: Path) -> bool:
    """Say whether a C++ file was built before; nothing is built and torch is not imported."""
    return (_folder(path)).is_dir()


def imported(library: Path) -> ModuleType:
    """Return the module in a compiled file, imported once."""
    name = library.name.partition(".")[0]
    if name in sys.modules:
        return sys.modules[name]
    import torch  # noqa: F401 - its libraries must be there before the module's are linked

    spec = importlib.util.spec_from_file_location(name, library)
    if spec is None or spec.loader is None:
        raise ImportError(f"{library} is no compiled module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _folder(path: Path) -> Path:
    return cache_dir() / "cpp" / f"swift_cpp_{_key(path)[:16]}"


def _key(path: Path) -> str:
    """Return a hash of all that decides what is built."""
    total = hashlib.sha256()
    for file in sources_of(path):
        total.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    version = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=False).stdout
    facts = (*FLAGS, os.environ.get("CXXFLAGS", ""), compiler(), version, metadata.version("torch"), _suffix())
    total.update("\0".join(facts).encode())
    return total.hexdigest()


def _suffix() -> str:
    return str(sysconfig.get_config_var("EXT_SUFFIX"))


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold a lock that the system lets go when this process ends, however it ends."""
    import fcntl

    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _compile(path: Path, name: str, staging: Path) -> None:
    from torch.utils import cpp_extension

    folder = ninja_folder()
    search = os.environ.get("PATH", "")
    os.environ["PATH"] = f"{search}{os.pathsep}{folder}"
    work = staging / "work"
    work.mkdir()
    try:
        cpp_extension.load(
            name=name,
            sources=[str(path)],
            extra_cflags=[*FLAGS, *os.environ.get("CXXFLAGS", "").split()],
            extra_include_paths=[str(path.parent)],
            build_directory=str(work),
            with_cuda=False,
            with_sycl=False,
            is_python_module=False,  # it is imported from its place in the cache
        )
    except (RuntimeError, OSError) as error:
        raise compile_error(path, str(error)) from error
    finally:
        os.environ["PATH"] = search
    shutil.move(str(work / f"{name}.so"), staging / f"{name}{_suffix()}")
    shutil.rmtree(work)


def compile_error(path: Path, output: str) -> SwiftError:
    """Return the errors in the output of a compiler, each with its place."""
    problems = []
    for match in list(_ERROR.finditer(output))[:_MAX_SHOWN]:
        file, line, column = Path(match["file"]), int(match["line"]), int(match["column"])
        place = Place(str(file), line, column, _text(file, line))
        problems.append(Problem("compile-error", match["message"].rstrip("."), place, "mend the line"))
    if not problems:
        lines = [line for line in output.splitlines() if line.strip()]
        message = f"{path} cannot be built: {' '.join(lines[-3:])[:400]}"
        problems.append(Problem("compile-error", message, None, f"{compiler()} must be able to build it"))
    return SwiftError(problems)


def _text(file: Path, line: int) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()[line - 1].replace("\t", " ")
    except (OSError, IndexError):
        return ""
