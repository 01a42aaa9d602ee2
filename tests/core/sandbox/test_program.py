import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from swift_core.sandbox.program import run_python, same_output


def test_a_right_output_is_ok_and_another_is_wrong():
    code = "print(int(input()) + int(input()))"
    assert run_python(code, "40\n2\n", expected="42").status == "ok"
    assert run_python(code, "40\n2\n", expected="43").status == "wrong"


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("1\n2\n", "1\n2", True),
        ("1 \n2\t\n\n\n", "1\n2", True),
        ("1\n2\n3\n", "1\n2", False),
        ("1\n", "1\n2", False),
        ("1\r\n2", "1\n2", True),
        (" 1", "1", False),
        ("\n1", "1", False),
        ("", "", True),
        ("1.0", "1", False),
    ],
)
def test_outputs_are_compared_whole_but_for_white_space_at_ends(printed, expected, same):
    assert same_output(printed, expected) is same


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [
        ("", "ok", 0),
        ("raise SystemExit(0)", "ok", 0),
        ("raise SystemExit(3)", "crash", 3),
        ("1 / 0", "crash", 1),
        ("def f(:", "crash", 1),
        ("import os; os.abort()", "crash", -6),
        ("import ctypes; ctypes.string_at(0)", "crash", -11),
        ("x = bytearray(10**12)", "memory", 86),
        ("import os; os._exit(0)", "ok", 0),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "crash", -9),
    ],
)
def test_every_end_has_its_status(code, status, exit_code):
    result = run_python(code)
    assert (result.status, result.exit_code) == (status, exit_code)


def test_a_program_that_takes_too_long_is_ended_on_time():
    result = run_python("while True: pass", timeout=0.5)
    assert result.status == "timeout"
    assert result.seconds < 1.5


def test_the_right_output_before_a_bad_end_does_not_count():
    assert run_python("print(42, flush=True); 1 / 0", expected="42").status == "crash"
    assert run_python("print(42, flush=True)\nwhile True: pass", timeout=0.5, expected="42").status == "timeout"


def test_the_expected_output_is_not_in_the_process():
    code = """
import gc, os, sys
found = [o for o in gc.get_objects() if "4" + "2" * 9 in str(type(o)) or isinstance(o, str) and "4" + "2" * 9 in o]
text = "".join(open(f"/proc/self/{name}", errors="replace").read() for name in ("cmdline", "environ"))
print(bool(found), "4" + "2" * 9 in text)
"""
    result = run_python(code, expected="4" + "2" * 9)
    assert result.stdout == "False False\n"


def test_a_program_cannot_pass_by_overriding_what_compares():
    code = """
import builtins, sys
class Anything(str):
    def __eq__(self, other): return True
builtins.print = lambda *a: None
sys.stdout.write(Anything("nonsense"))
"""
    assert run_python(code, expected="42").status == "wrong"


def test_much_output_is_cut_off_and_no_pass():
    result = run_python("print('4' * 10**7)", output_bytes=1000, expected="4")
    assert result.status == "crash"
    assert len(result.stdout) <= 1000 + 2**16


def test_input_and_output_may_be_any_text():
    text = "naïve 数学 \U0001f600 \ud800"
    result = run_python("print(input())", text)
    assert result.status == "ok"
    assert result.stdout.startswith("naïve 数学 \U0001f600")


def test_large_inputs_and_outputs_do_not_block():
    text = "x" * 900_000
    assert run_python("import sys; data = sys.stdin.read(); print(data)", text, expected=text).status == "ok"


def test_a_program_sees_the_standard_library_and_installed_packages_only_when_it_may():
    assert run_python("import pluggy").status == "crash"
    assert run_python("import pluggy", packages=True).status == "ok"
    assert run_python("import swift_core").status == "crash"


def test_a_program_is_main_and_may_use_threads_and_asyncio():
    code = """
import asyncio, threading
async def answer(): return 4
if __name__ == "__main__":
    out = []
    thread = threading.Thread(target=out.append, args=(2,)); thread.start(); thread.join()
    print(asyncio.run(answer()), *out)
"""
    assert run_python(code, expected="4 2").status == "ok"


def test_programs_of_several_threads_run_beside_each_other_and_outlive_the_thread_before():
    results = []
    for _ in range(2):
        threads = [
            threading.Thread(target=lambda: results.append(run_python("print(1)", expected="1").status))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == ["ok"] * 8


def left_behind():
    """Return the number of open files of this process, where /proc tells, and its child processes."""
    files = Path("/proc/self/fd")
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    return len(os.listdir(files)) if files.is_dir() else 0, children


def test_nothing_is_left_behind():
    before = left_behind()
    run_python("1 / 0")
    run_python("while True: pass", timeout=0.2)
    time.sleep(0.05)
    assert left_behind() == before


@pytest.mark.parametrize("limits", [{"timeout": 0}, {"memory": -1}, {"output_bytes": 0}])
def test_limits_that_are_none_are_refused(limits):
    with pytest.raises(ValueError, match=r"^timeout, memory and output_bytes must be > 0"):
        run_python("", **limits)
