import dataclasses
import json
import subprocess
import sys
import threading
import time

import pytest

from swift_core.assemble.failures import FailurePolicy
from swift_core.assemble.rewards import adapt_reward
from swift_core.plugin_api import InferRequest, RewardInputs, WorkerPool
from swift_reward_zoo.answer.math import Math

BIG = "9" * 3000

# (what the model wrote, the expected answer as a data set has it)
RIGHT = [
    # numbers
    (r"\boxed{18}", "18"),
    (r"\boxed{18.0}", "18"),
    (r"\boxed{018}", "18"),
    (r"\boxed{+18}", "18"),
    (r"\boxed{ -7 }", "-7"),
    ("\\boxed{\u22127}", "-7"),
    ("\\boxed{\uff12\uff10}", "20"),
    ("\\boxed{4\u200b2}", "42"),
    (r"\boxed{1,234,567}", "1234567"),
    (r"\boxed{1{,}234{,}567}", "1,234,567"),
    (r"\boxed{1\,234\,567}", "1234567"),
    (r"\boxed{1 234 567}", "1234567"),
    (r"\boxed{\$18}", "18"),
    ("$18", "18"),
    (r"\boxed{18}", r"\$18"),
    (r"\boxed{18}", "$18$"),
    (r"\boxed{\text{18}}", "18"),
    (r"\boxed{7.}", "7"),
    (r"\boxed{**7**}", "7"),
    (r"\boxed{.5}", "0.5"),
    (r"\boxed{3 \times 10^{8}}", "300000000"),
    (r"\boxed{3e8}", r"3 \times 10^8"),
    (r"\boxed{1.5 \times 10^{-3}}", "0.0015"),
    (r"\boxed{2^{10}}", "1024"),
    (r"\boxed{2^{1000}}", "2^{1000}"),
    (r"\boxed{10^{-3}}", "0.001"),
    # fractions
    (r"\boxed{\frac{1}{2}}", "1/2"),
    (r"\boxed{\frac{1}{2}}", "0.5"),
    (r"\boxed{\dfrac{2}{4}}", r"\frac{1}{2}"),
    (r"\boxed{\frac12}", r"\frac{1}{2}"),
    (r"\boxed{-\frac{3}{4}}", "-0.75"),
    (r"\boxed{\frac{-3}{4}}", r"-\frac{3}{4}"),
    (r"\boxed{\frac{3}{-4}}", "-3/4"),
    ("\\boxed{\u00bd}", "1/2"),
    ("\\boxed{2\u00bd}", "5/2"),
    (r"\boxed{2\frac{1}{2}}", "2.5"),
    (r"\boxed{3 1/4}", "13/4"),
    (r"\boxed{0.333333}", "1/3"),
    (r"\boxed{0.6666667}", r"\frac{2}{3}"),
    # per cent, money, units
    (r"\boxed{50\%}", "50"),
    (r"\boxed{50\%}", "0.5"),
    (r"\boxed{50}", r"50\%"),
    (r"\boxed{0.5}", "50%"),
    (r"\boxed{12.5 \%}", "12.5%"),
    (r"\boxed{5\text{ cm}}", "5"),
    (r"\boxed{5 \text{ cm}^2}", "5"),
    (r"\boxed{5}", r"5 \text{ inches}"),
    (r"\boxed{30^\circ}", "30"),
    ("\\boxed{30\u00b0}", r"30^{\circ}"),
    (r"\boxed{3 million}", "3000000"),
    (r"\boxed{2 dozen}", "24"),
    (r"\boxed{60 \text{ miles per hour}}", "60"),
    (r"\boxed{\text{12 apples}}", "12"),
    # where the answer is
    (r"First \boxed{3}, no: \boxed{4}", "4"),
    (r"\boxed{\boxed{5}}", "5"),
    (r"\fbox{5}", "5"),
    (r"\boxed 5", "5"),
    (r"\boxed{x = 5}", "5"),
    (r"\boxed{5}", "x=5"),
    (r"\boxed{\frac{\sqrt{3}}{\frac{4}{2}}}", r"\frac{\sqrt{3}}{2}"),
    ("<think>\\boxed{1} maybe</think> So \\boxed{2}", "2"),
    ("<think>hm</think><answer>42</answer>", "42"),
    ("<answer>3</answer> better: <answer>4</answer>", "4"),
    ("2 + 2 = 4\n#### 4", "4"),
    ("The answer is 12.", "12"),
    ("The final answer is: $\\frac{3}{4}$.", "0.75"),
    ("Answer: -3", "-3"),
    ("So he has 5 left.\nA: 5", "5"),
    ("The answer is 5 apples, because 2 + 3 = 5 and not 6.", "5"),
    ("He buys 3 and then 4, so he has 7 in total.", "7"),
    ("He earns $1,200.50 in a year.", "1200.5"),
    ("so we get $x = \\frac{1}{2}$.", "1/2"),
    ("42", "42"),
    ("\u7b54\u6848\u662f18\u3002", "18"),
    ("\u7b54\u6848\uff1a18\uff0c\u56e0\u4e3a 9 + 9 = 18 \u800c\u4e0d\u662f 17\u3002", "18"),
    ("\u6240\u4ee5\u4e00\u5171\u670918\u4e2a\u82f9\u679c\u3002", "18"),
    ("\u6240\u4ee5\u7b54\u6848\u662f $\\frac{1}{2}$\u3002", "1/2"),
    ("\u82f9\u679c", "\u82f9\u679c"),
    ("x^2+1", "x^2+1"),
    (r"\boxed{72}", "48/2 = 24\nThen 48+24 = 72\n#### 72"),
    (r"\boxed{72}", r"We find that it is $\boxed{72}$."),
    (r"\boxed{1,000}", "#### 1,000"),
    # words and choices
    (r"\boxed{\text{Evelyn}}", r"\text{Evelyn}"),
    (r"\boxed{evelyn}", r"\text{Evelyn}"),
    (r"\boxed{\text{no solution}}", "No solution"),
    (r"\boxed{\text{(B)}}", "B"),
    (r"\boxed{B}", r"\textbf{(B)}"),
    (r"\boxed{(C) 12}", "C"),
    ("The answer is (D).", "D"),
    (r"\boxed{\text{Yes}}", "yes"),
    # lists, sets, intervals
    (r"\boxed{1, 2}", "2,1"),
    (r"\boxed{1 \text{ and } 2}", "1, 2"),
    (r"\boxed{\{1,2,3\}}", r"\{3,2,1\}"),
    (r"\boxed{x=1, x=-2}", "-2, 1"),
    (r"\boxed{\pm 2}", "2,-2"),
    (r"\boxed{(1, 2)}", "(1,2)"),
    (r"\boxed{\left(\frac{1}{2}, 3\right)}", "(0.5,3)"),
    (r"\boxed{[0, 1)}", "[0,1)"),
    (r"\boxed{(-\infty, 2]}", r"(-\infty,2]"),
    (r"\boxed{(3,4) \cup (1,2)}", r"(1,2)\cup(3,4)"),
    (r"\boxed{\emptyset}", r"\varnothing"),
    # symbols
    (r"\boxed{2\sqrt{3}}", r"2\sqrt{3}"),
    (r"\boxed{\sqrt{12}}", r"2\sqrt{3}"),
    ("\\boxed{2\u221a3}", r"2\sqrt{3}"),
    ("\\boxed{x\u00b2+2x+1}", "(x+1)^2"),
    (r"\boxed{3+4i}", "4i+3"),
    (r"\boxed{2\pi}", "2\\pi"),
    (r"\boxed{e^{i\pi}}", "-1"),
    (r"\boxed{1/i}", "-i"),
    (r"\boxed{1.41421356}", r"\sqrt{2}"),
    (r"\boxed{y = 2x + 1}", "2x - y + 1 = 0"),
    (r"\boxed{5x+1}", "1+5x"),
    (r"\boxed{x*(x+1)}", "x^2+x"),
    (r"\boxed{\begin{pmatrix} 1 \\ \frac{4}{2} \end{pmatrix}}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{\sqrt{2}}{2}"),
    (r"\boxed{\log_2 8}", "3"),
    (r"\boxed{x > 3}", "3 < x"),
    (r"\boxed{\frac{3\sqrt{3}}{2}}", r"\frac{3}{2}\sqrt{3}"),
    (r"\boxed{x \in [1, 2]}", "[1,2]"),
    (r"\boxed{f(x) = x^2}", "x^2"),
    (r"\boxed{m+n = 5}", "5"),
    (r"\boxed{\frac{1}{2} = 0.5}", "1/2"),
    (r"\boxed{\frac{1}{3} \approx 0.33}", "1/3"),
    (r"\boxed{0.\overline{3}}", "1/3"),
    (r"\boxed{0.1\overline{6}}", r"\frac{1}{6}"),
    (r"\boxed{5!}", "120"),
    (r"\boxed{\binom{5}{2}}", "10"),
    (r"\boxed{2 \cdot 3^5}", "486"),
    (r"\boxed{\sqrt[3]{2}}", "2^{1/3}"),
    (r"\boxed{e^{x^2}}", r"\exp(x^2)"),
    (r"\boxed{x > 3}", r"(3, \infty)"),
    (r"\boxed{(-\infty, 3]}", r"x \le 3"),
    (r"\boxed{-1 < x \leq \frac{1}{2}}", "(-1, 0.5]"),
    (r"\boxed{pi/2}", r"\frac{\pi}{2}"),
    (r"\boxed{2 + \sqrt{3}, 2 - \sqrt{3}}", r"2 \pm \sqrt{3}"),
    (r"\boxed{x = 1 \text{ or } x = 2}", "1, 2"),
    (r"\boxed{(1,2), (3,4)}", "(3,4),(1,2)"),
    (r"\boxed{\text{A, C}}", "A,C"),
    (r"\boxed{\left\{1, 2\right\}}", r"\{1,2\}"),
    (r"\boxed{12:30}", "12:30"),
    (r"\boxed{1010_2}", "1010_{2}"),
    (r"\boxed{1 \le x \le 2}", "[1,2]"),
    (r"\boxed{x^2 + y^2 = 4}", "y^2 = 4 - x^2"),
    (r"\boxed{\frac{x}{2}}", "0.5x"),
    (r"\boxed{(x+1)(x-1)}", "x^2 - 1"),
    (r"\boxed{\sin^2 x + \cos^2 x}", "1"),
    (r"\boxed{\$1,234.50}", "1234.5"),
    # what cannot be worked out is still equal to itself
    (r"\boxed{9^{9^{9}}}", "9^{9^9}"),
    (rf"\boxed{{{BIG}}}", BIG),
]

WRONG = [
    # nothing there
    ("", "5"),
    ("   ", "5"),
    ("I do not know.", "5"),
    (r"\boxed{}", "5"),
    (r"\boxed{5", "5"),
    ("\u7b54\u6848\u662f18\u3002", "1"),
    ("\u6709 3 \u4e2a\uff0c\u540e\u6765 5 \u4e2a\u3002", "3"),
    (r"\boxed{5} but then \boxed{}", "5"),
    ("<think>\\boxed{5}", "5"),
    ("<answer></answer>", "5"),
    # several answers
    (r"\boxed{4} and \boxed{5}", "4"),
    (r"\boxed{1}\boxed{2}\boxed{3}\boxed{4}\boxed{5}", "3"),
    (r"\boxed{1,2,3,4,5}", "3"),
    (r"\boxed{5 \text{ or } 6}", "5"),
    (r"The answer is 4. No, the answer is 5.", "4"),
    # near, and not equal
    (r"\boxed{1/2006!}", "1/2004!"),
    (r"\boxed{\frac{1}{2^{99}}}", r"\frac{1}{2^{98}}"),
    (r"\boxed{0}", "1/2004!"),
    (r"\boxed{0.000000}", r"\frac{1}{3 \cdot 10^{9}}"),
    (r"\boxed{0.33}", "1/3"),
    (r"\boxed{0.333334}", r"\frac{1}{300}"),
    (r"\boxed{3.14}", r"\pi"),
    (r"\boxed{1.41}", r"\sqrt{2}"),
    (r"\boxed{17.9999999}", "18"),
    (rf"\boxed{{{BIG}8}}", BIG + "9"),
    (r"\boxed{10^{20}+1}", "10^{20}"),
    # cut braces
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{3}"),
    (r"\boxed{\frac{1}{3}}", r"\frac{1}{2}"),
    (r"\boxed{2}", r"2\sqrt{3}"),
    (r"\boxed{3}", "3+4i"),
    (r"\boxed{5}", "5x+1"),
    (r"\boxed{4}", "x^2+y^2=4"),
    (r"\boxed{2}", "2^{1000}"),
    (r"\boxed{10}", "10^{-3}"),
    (r"\boxed{1.2}", "1,2"),
    (r"\boxed{1728}", r"1331 \text{ and } 1728"),
    (r"\boxed{3x + 4y + 14=0}", "3*x-1*y+13=0"),
    (r"\boxed{3x = 15}", "15"),
    (r"\boxed{1/2 = 0.3}", "0.5"),
    (r"\boxed{0.\overline{3}}", "0.3"),
    (r"\boxed{e^{x^2}}", "e^{x^3}"),
    (r"\boxed{e^{-1000}}", "0"),
    (r"\boxed{e^{-1000}}", "e^{-1001}"),
    (r"\boxed{1 < x < 2}", "[1,2]"),
    (r"\boxed{x > 3}", r"[3, \infty)"),
    (r"\boxed{x + 0 \cdot y}", "y"),
    (r"\boxed{\sqrt{x^2}}", "x"),
    (r"\boxed{x+10^{-30}}", "x"),
    # signs, kinds, units
    (r"\boxed{7}", "-7"),
    (r"\boxed{-18}", "18"),
    (r"\boxed{1/3}", "3"),
    (r"\boxed{0.5}", "50"),
    (r"\boxed{5\text{ m}}", r"5\text{ cm}"),
    (r"\boxed{(2,1)}", "(1,2)"),
    (r"\boxed{(0,1)}", "[0,1)"),
    (r"\boxed{\{1,2\}}", "(1,2)"),
    (r"\boxed{1,1}", "1,2"),
    (r"\boxed{(1,2)}", r"(1,2)\cup(3,4)"),
    (r"\boxed{x > 3}", "x < 3"),
    (r"\boxed{x \ge 3}", "x > 3"),
    (r"\boxed{x+y}", "x-y"),
    (r"\boxed{x^2}", "y^2"),
    (r"\boxed{\text{Evelyn}}", r"\text{Angela}"),
    (r"\boxed{A}", "B"),
    (r"\boxed{AB}", "A"),
    (r"\boxed{\text{no}}", "yes"),
    (r"\boxed{y=5}", "x=5"),
    (r"\boxed{1/0}", "0"),
    # not Python, not run
    (r"\boxed{__import__('os').system('true')}", "0"),
    (r"\boxed{True}", "1"),
    (r"\boxed{float('inf')}", r"\infty"),
    ("\\boxed{\ud800}", "5"),
    ("\\boxed{5\x00}", "6"),
]

HEAVY = [
    "9**9**9",
    "9^{9^{9^9}}",
    "5^{5^{5^{5^5}}}",
    "2003^{2002^{2001}}",
    "(9^{9999})^{9999}",
    "100000000!",
    "(10^{10})!",
    "((3!)!)!",
    r"\prod_{k=1}^{100000000} k",
    r"\sum_{k=1}^{100000000} \frac{1}{k}",
    "10^{1000000000}",
    "x^{999999999}",
    r"\binom{1000000000}{500000000}",
    "1e999999999",
    "(" * 2000 + "1" + ")" * 2000,
    "{" * 2000,
    r"\sqrt{" * 300 + "2" + "}" * 300,
    "1" * 100_000,
    "1+" * 20_000 + "1",
    "(x+1)^{9999}",
    r"\frac{" * 5000,
]


@pytest.fixture(scope="module")
def score():
    reward = Math(timeout=20.0)

    def one(response, truth):
        return reward([InferRequest(messages=[], response=response)], [truth])[0]

    return one


@pytest.mark.parametrize(("response", "truth"), RIGHT)
def test_right_answers_score_one(score, response, truth):
    assert score(response, truth) == 1.0


@pytest.mark.parametrize(("response", "truth"), WRONG)
def test_wrong_answers_score_zero(score, response, truth):
    assert score(response, truth) == 0.0


def test_every_readable_truth_is_right_against_itself(score):
    for truth in {
        truth for _, truth in RIGHT + WRONG if "\n" not in truth and "box" not in truth and "####" not in truth
    }:
        assert score(rf"\boxed{{{truth}}}", truth) == 1.0, truth


@pytest.mark.timed
@pytest.mark.parametrize("answer", HEAVY, ids=[answer[:20] for answer in HEAVY])
def test_heavy_answers_are_wrong_at_once(answer):
    reward = Math(timeout=5.0)
    start = time.monotonic()
    assert reward([InferRequest(messages=[], response=rf"\boxed{{{answer}}}")], ["3"]) == [0.0]
    assert reward([InferRequest(messages=[], response=rf"\boxed{{{answer}}}")], ["x+1"]) == [0.0]
    assert time.monotonic() - start < 4.0


@pytest.mark.timed
@pytest.mark.parametrize(
    "text", [r"\boxed{" * 50_000, "<answer>" * 50_000, "1 " * 200_000, "$" * 200_000, "answer is " * 50_000]
)
def test_long_hostile_text_takes_linear_time(score, text):
    start = time.monotonic()
    assert score(text, "3") == 0.0
    assert time.monotonic() - start < 2.0


@pytest.mark.parametrize("truth", ["", "   ", None, "####", r"\boxed{}", r"\frac{1}{", "1 +* 2)", r"\{1,\}"])
def test_a_truth_that_does_not_parse_is_refused_with_its_row(truth):
    requests = [InferRequest(messages=[], response=r"\boxed{1}")] * 3
    with pytest.raises(ValueError, match=r"^ground truth of row 1 "):
        Math()(requests, ["1", truth, "1"])


def test_says_why_a_truth_does_not_parse():
    with pytest.raises(
        ValueError, match=r"^ground truth of row 0 does not parse: '\\\\frac\{1\}\{' \(its braces are not balanced\)$"
    ):
        Math()([InferRequest(messages=[], response="1")], [r"\frac{1}{"])


def test_refuses_unequal_lengths():
    with pytest.raises(ValueError, match=r"^math got 1 responses but 2 ground truths$"):
        Math()([InferRequest(messages=[], response="1")], ["1", "2"])


def test_an_empty_batch_scores_nothing():
    assert Math()([], []) == []


def test_a_comparison_over_its_time_fails_and_the_next_one_is_right(caplog):
    slow = InferRequest(messages=[], response=r"\boxed{((x+1)^{999})^{999}}")
    quick = InferRequest(messages=[], response=r"\boxed{1+x}")
    Math()([quick], ["x+1"])
    with caplog.at_level("WARNING"):
        assert Math(timeout=0.5)([slow], ["x+1"]) == [None]
    assert "row 0 could not be scored (timeout): comparing by computer algebra" in caplog.text
    assert "no answer within 0.5 seconds" in caplog.text
    assert Math()([quick], ["x+1"]) == [1.0]


HANGING = """
import time

def make(options):
    def answer(question):
        if "y" in question["expected"]:
            time.sleep(60)
        return {"parsed": True, "equal": True}

    return answer
"""


@pytest.fixture
def hanging_pool(tmp_path, monkeypatch):
    """Replace the workers by some that hang on y and call everything else equal."""
    from swift_reward_zoo.answer import _symbolic

    (tmp_path / "hanging.py").write_text(HANGING)
    monkeypatch.syspath_prepend(str(tmp_path))
    pool = WorkerPool("hanging:make", num_workers=2)
    monkeypatch.setattr(_symbolic, "POOL", pool)
    monkeypatch.setattr("swift_reward_zoo.answer._compare._check_parses", lambda answer, timeout: None)
    yield pool
    pool.close()


@pytest.mark.timed
def test_answers_that_hang_cost_themselves_alone_and_their_time_is_shared(hanging_pool):
    truths = ["x+x", "x+y+x", "4", "y+y+x", "x+x+x"] * 4
    requests = [InferRequest(messages=[], response=r"\boxed{4}" if t == "4" else r"\boxed{2z}") for t in truths]
    reward = adapt_reward("math", Math(timeout=0.5))
    reward = dataclasses.replace(reward, policy=FailurePolicy("mask", 0.9))
    start = time.monotonic()
    scores = reward.score(RewardInputs(requests, truths))
    assert time.monotonic() - start < 8 / 2 * (0.5 + 0.2) + 1.0
    assert scores == [1.0, None, 1.0, None, 1.0] * 4
    assert {failure.kind for failure in scores.failures.values()} == {"timeout"}
    assert sorted(scores.failures) == [row for row, truth in enumerate(truths) if "y" in truth]
    assert reward.tally.kinds == {"timeout": 8}


def test_works_off_the_main_thread_and_from_several_threads():
    scores = []

    def work():
        scores.extend(Math()([InferRequest(messages=[], response=r"\boxed{\sqrt{12}}")], [r"2\sqrt{3}"]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scores == [1.0] * 4


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_refuses_a_timeout_that_is_none(timeout):
    with pytest.raises(ValueError, match=r"^timeout must be > 0, got "):
        Math(timeout=timeout)


@pytest.mark.timed
def test_importing_and_scoring_numbers_needs_neither_sympy_nor_torch():
    code = """
import json, sys, time
start = time.perf_counter()
import swift_reward_zoo
package = time.perf_counter() - start
from swift_reward_zoo.answer.math import Math
from swift_core.plugin_api import InferRequest
assert Math()([InferRequest(messages=[], response="so it is 1/2")], ["0.5"]) == [1.0]
print(json.dumps([package, sorted({"sympy", "torch", "math_verify", "transformers"} & set(sys.modules))]))
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    seconds, loaded = json.loads(output)
    assert loaded == []
    assert seconds < 0.05
