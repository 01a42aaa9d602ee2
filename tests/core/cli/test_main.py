from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

import swift_core
from swift_core.cli import main as module
from swift_core.errors import Problem, SwiftError
from swift_core.plugins.registry import _everything
from swift_core.testing.fake_dist import fake_dist


@pytest.fixture
def swift(capsys):
    """Run `swift ARGUMENTS` in this process; return its exit code, output and error output."""

    def swift(*arguments):
        with pytest.raises(SystemExit) as caught:
            module.main(arguments)
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return swift


@pytest.fixture
def failing(monkeypatch):
    """Put a command `fail` into the table that raises what it is given."""

    def failing(error):
        @click.command("fail")
        def command():
            raise error

        monkeypatch.setattr(module, "_only", command, raising=False)
        monkeypatch.setitem(module.COMMANDS, "fail", ("swift_core.cli.main:_only", "Fail."))

    return failing


def test_version_is_that_of_core(swift):
    assert swift("--version") == (0, f"swift-core {swift_core.__version__}\n", "")


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help_lists_every_command_with_a_line(swift, arguments):
    code, output, _ = swift(*arguments)
    assert code == 0
    for name, (_, text) in module.COMMANDS.items():
        assert any(line.split(maxsplit=1) == [name, text] for line in output.splitlines()), name


@pytest.mark.parametrize("name", module.COMMANDS)
def test_every_command_of_the_table_is_there_and_documented(swift, name):
    code, output, _ = swift(name, "--help")
    assert code == 0
    assert output.startswith(f"Usage: swift {name}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plna"], "there is no command 'plna'. Did you mean 'plan'?"),
        (["zzzzzz"], "there is no command 'zzzzzz'."),
        (["plugins", "lst"], "no such command 'lst'. Did you mean 'list'?"),
        (["plugins", "list", "--knd"], "no such option '--knd'. Did you mean '--kind'?"),
        (["--verson"], "no such option '--verson'. Did you mean '--version'?"),
        (["plugins", "info"], "missing argument 'KIND/NAME'."),
    ],
)
def test_a_usage_mistake_is_one_problem_with_the_nearest_word(swift, arguments, message):
    code, output, error = swift(*arguments)
    first, second = error.splitlines()
    assert (code, output) == (2, "")
    assert first == f"error[usage]: {message}"
    assert second.startswith("  next: swift ")
    assert second.endswith(" --help")


def test_a_swift_error_becomes_its_problems_and_exit_code_two(swift, failing):
    failing(SwiftError([Problem("one", "First.", next_step="do this"), Problem("two", "Second.")]))
    assert swift("fail") == (2, "", "error[one]: First.\n  next: do this\nerror[two]: Second.\n")


def test_a_bug_keeps_its_traceback(failing):
    failing(ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError):
        module.main(["fail"])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interruption_exits_with_130(swift, failing, error):
    failing(error)
    code, _, text = swift("fail")
    assert (code, text.strip()) == (130, "interrupted")


def test_the_cause_is_shown_to_authors_who_ask_for_it(swift, failing, monkeypatch):
    error = SwiftError(Problem("broken-plugin", "It broke."))
    error.__cause__ = ZeroDivisionError("theirs")
    failing(error)
    assert "ZeroDivisionError" not in swift("fail")[2]
    monkeypatch.setenv("SWIFT_TRACEBACK", "1")
    assert "ZeroDivisionError: theirs" in swift("fail")[2]


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    _everything.cache_clear()
    yield tmp_path
    _everything.cache_clear()


HELLO = "import click\n@click.command()\n@click.option('--name')\ndef hello(name): print('hello', name)\n"


def test_another_wheel_adds_a_command_that_is_imported_when_used(swift, site):
    fake_dist(site, "acme-cli", "1.0", {"swift.commands": {"say_hello": "acme_hello:hello"}}, {"acme_hello.py": HELLO})
    assert "say-hello  From acme-cli." in swift("--help")[1]
    assert "acme_hello" not in sys.modules
    assert swift("say-hello", "--name", "you") == (0, "hello you\n", "")
    assert swift("say-helo")[2].startswith("error[usage]: there is no command 'say-helo'. Did you mean 'say-hello'?")


def test_another_wheel_cannot_replace_a_command_of_core(swift, site):
    fake_dist(site, "acme-cli", "1.0", {"swift.commands": {"trust": "acme_evil:main"}}, {"acme_evil.py": "1 / 0"})
    code, output, _ = swift("trust", "--help")
    assert (code, output.splitlines()[0]) == (0, "Usage: swift trust [OPTIONS] [FOLDER]")
    assert "acme-cli" not in swift("--help")[1]


@pytest.mark.parametrize("source", ["import nothing_there", "main = print"])
def test_a_broken_command_of_another_wheel_is_said_with_its_wheel(swift, site, source):
    name = f"acme_broken_{len(source)}"
    fake_dist(site, "acme-cli", "1.0", {"swift.commands": {"fly": f"{name}:main"}}, {f"{name}.py": source})
    code, _, error = swift("fly")
    assert code == 2
    assert error.startswith(f"error[broken-plugin]: the command 'fly' of acme-cli 1.0 ({name}:main) ")


def test_two_wheels_with_one_command_are_an_error_when_it_is_used(swift, site):
    for wheel in ("acme-cli", "beta-cli"):
        fake_dist(site, wheel, "1.0", {"swift.commands": {"fly": "nothing:main"}})
    assert "fly  From acme-cli and beta-cli." in swift("--help")[1]
    code, _, error = swift("fly")
    assert (code, error.splitlines()[0]) == (
        2,
        "error[ambiguous-plugin]: the command 'fly' is claimed by acme-cli and by beta-cli.",
    )


@pytest.mark.parametrize("program", [["-m", "swift_core"], ["-c", "from swift_core.cli.main import main; main()"]])
def test_the_module_is_the_command(program):
    result = subprocess.run([sys.executable, *program, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == f"swift-core {swift_core.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_starting_imports_nothing_slow(arguments):
    program = (
        "import sys, atexit\natexit.register(lambda: print('LOADED', *sys.modules))\n"
        "from swift_core.cli.main import main\nmain()"
    )
    command = [sys.executable, "-c", program, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    loaded = set(result.stdout.partition("LOADED")[2].split())
    slow = {"torch", "transformers", "peft", "datasets", "numpy", "pydantic", "rich", "pluggy", "importlib.metadata"}
    assert loaded.isdisjoint(slow)
