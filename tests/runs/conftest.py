"""Runs as a user starts them: the command in a process of its own, in a folder of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

OFFLINE = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


@dataclass(frozen=True)
class Swift:
    """The `swift` command of one environment."""

    python: str
    folder: Path

    def __call__(self, *arguments, code=0, timeout=240, **environment):
        """Run `swift ARGUMENTS` in the folder and return what it printed; the exit code must be `code`."""
        done = subprocess.run(
            [self.python, "-m", "swift_core", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, **OFFLINE, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def start(self, *arguments):
        """Start `swift ARGUMENTS` and return the process, its output in one pipe."""
        return subprocess.Popen(
            [self.python, "-u", "-m", "swift_core", *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, **OFFLINE},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def write(self, name, text):
        """Write a file into the folder; return its path."""
        path = self.folder / name
        path.write_text(text)
        return path


@pytest.fixture
def swift(tmp_path):
    """Return the command of the environment under test."""
    return Swift(sys.executable, tmp_path)


@pytest.fixture(scope="session")
def fresh_environment(tmp_path_factory):
    """Return a function that makes an environment with the wheels under test, and installs more wheels into it."""
    site = next(Path(path) for path in sys.path if (Path(path) / "swift_core").is_dir() or _lists_core(Path(path)))

    def make(*wheels):
        folder = tmp_path_factory.mktemp("environment")
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        python = folder / "venv" / "bin" / "python"
        where = [python, "-c", "import site; print(site.getsitepackages()[0])"]
        packages = Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip())
        (packages / "base.pth").write_text(f"import site; site.addsitedir({str(site)!r})\n")
        if wheels:
            install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", *wheels]
            subprocess.run(install, check=True)
        return Swift(str(python), folder)

    return make


def _lists_core(folder):
    return folder.is_dir() and any(folder.glob("swift_core-*.dist-info"))


@pytest.fixture(scope="session")
def build_wheel(tmp_path_factory):
    """Return a function (source folder) -> the wheel built from it."""

    def build(source):
        out = tmp_path_factory.mktemp("wheel")
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*command, "--wheel-dir", out, source], check=True)
        (wheel,) = out.glob("*.whl")
        return wheel

    return build
