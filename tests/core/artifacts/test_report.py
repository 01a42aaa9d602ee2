import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner

from swift_core.artifacts.directory import create, write
from swift_core.artifacts.metrics_file import metrics_line
from swift_core.artifacts.report import render_report, write_report
from swift_core.artifacts.report_view import changes, duration, fact_rows, sample_rows, size, text
from swift_core.cli.report import command
from swift_core.errors import SwiftError

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """The elements of a page, its text by element, and whether every element is closed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def within(self, tag):
        return [data for name, data in self.texts if name == tag]


@pytest.fixture
def run(make_result):
    """Return the directory of a finished run, full of hostile text."""
    result = make_result(facts={"rows": {"train": 2}, HOSTILE: HOSTILE})
    directory = create(result.parts.plan, result.parts.directory)
    lines = [
        metrics_line({"eval_loss": 0.7, "eval_reward_accuracy": 0.0}, step=0, epoch=0.0, time=0.0),
        metrics_line({"loss": 0.5, "learning_rate": 1e-4, HOSTILE: 1.0}, step=10, epoch=0.5, time=1.0),
        metrics_line({"loss": float("nan"), "grad_norm": 1.0}, step=20, epoch=1.0, time=2.0),
    ]
    (directory / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return write(result)


def test_hostile_text_is_shown_and_not_run(run):
    page = Page(render_report(run))
    assert page.open == []
    assert page.all("img") == []
    scripts = page.within("script")
    assert len(scripts) == 3
    assert not any("alert(1)</script>" in script for script in scripts)
    assert HOSTILE in "".join(page.within("pre"))
    assert "{{ 7 * 7 }}" in "".join(page.within("pre"))


def test_only_our_scripts_may_run(run):
    page = Page(render_report(run))
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    ours = [script for script in page.within("script") if not script.startswith("[")]
    assert allowed == {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in ours}
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_the_page_needs_no_other_file(run):
    page = Page(render_report(run))
    references = [
        value for _, attrs in page.elements for name, value in attrs.items() if name in ("src", "href", "srcset")
    ]
    assert references
    assert all(reference.startswith("#") for reference in references)
    styles = "".join(page.within("style"))
    assert "url(" not in styles
    assert "@import" not in styles


def test_every_link_of_the_contents_leads_somewhere(run):
    page = Page(render_report(run))
    anchors = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    assert {attrs["href"][1:] for attrs in page.all("a")} <= anchors


def test_the_charts_hold_the_logged_figures(run):
    page = Page(render_report(run))
    (data,) = [json.loads(script) for script in page.within("script") if script.startswith("[")]
    by_title = {chart["title"]: chart for chart in data}
    assert by_title["Loss"]["steps"] == [0, 10, 20]
    assert by_title["Loss"]["series"] == {"held out": [0.7, None, None], "training": [None, 0.5, None]}
    assert len(page.all("figure")) == len(data)
    assert "No finite number: loss was nan at step 20." in page.within("p")


def test_rewarded_answers_are_shown_as_text(run):
    line = {"step": 3, "row": 0, "prompt": [{"role": "user", "content": HOSTILE}], "completion": f"{HOSTILE}!"}
    line |= {"finished": False, "rewards": {HOSTILE: 0.5, "slow": None}, "unsaid": {"slow": "timeout"}}
    line |= {"reward": 0.5, "advantage": -1.25}
    (run / "completions.jsonl").write_text(json.dumps(line) + "\n")
    page = Page(render_report(run))
    assert page.all("img") == []
    assert f"user: {HOSTILE}" in page.within("pre")
    assert f"{HOSTILE}!" in page.within("pre")
    cells = page.within("td")
    assert cells[cells.index("3") :][:5] == ["3", "0.5", "timeout", "0.5", "-1.25"]


def test_trained_tokens_are_marked(run):
    page = Page(render_report(run))
    assert page.within("mark") == ["Marked", "4<end>"]


def test_parts_are_shown_with_their_wheel_and_settings_with_their_origin(run):
    page = Page(render_report(run))
    cells = page.within("td")
    assert "swift-native 0.1.0" in cells
    assert "swift-loss-zoo 0.1.0" in cells
    assert "run.yaml:3:3" in cells
    assert "beta: 0.2" in page.within("code")


def test_a_run_that_is_not_finished_has_a_report(make_plan, tmp_path):
    directory = create(make_plan(), tmp_path / "out")
    assert "Not finished: nothing was logged yet." in render_report(directory)
    (directory / "metrics.jsonl").write_text(metrics_line({"loss": 1.0}, step=1, epoch=0.0, time=0.0) + "\n")
    assert "Not finished: figures so far." in render_report(directory)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(SwiftError, match="is no run directory"):
        write_report(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_broken_file_is_named(run, content):
    (run / "result.json").write_text(content)
    with pytest.raises(SwiftError, match=r"result\.json is no JSON object"):
        write_report(run)


def test_the_command_writes_the_report_again(run):
    (run / "report.html").unlink()
    outcome = CliRunner().invoke(command, [str(run)])
    assert outcome.output == f"{run / 'report.html'}\n"
    assert (run / "report.html").read_text() == render_report(run)


def test_better_and_worse_are_told_apart():
    rows = changes(
        {
            "eval_loss": 1.0,
            "eval_orm_accuracy": 0.5,
            "eval_length": 3.0,
            "eval_runtime": 1.0,
            "eval_reward_margin": 0.0,
        },
        {
            "eval_loss": 0.5,
            "eval_orm_accuracy": 0.4,
            "eval_length": 4.0,
            "eval_runtime": 2.0,
            "eval_reward_margin": 0.0,
        },
    )
    verdicts = {row["name"]: row["verdict"] for row in rows}
    assert verdicts == {"loss": "good", "orm accuracy": "bad", "length": "", "reward margin": ""}


def test_a_figure_that_is_missing_afterwards_is_shown_so():
    (row,) = changes({"eval_loss": 1.0}, {})
    assert (row["before"], row["after"], row["verdict"]) == ("1", "none", "")


def test_an_expected_answer_is_recognised_despite_spaces():
    (row,) = sample_rows([{"prompt": "2+2?", "expected": "4", "before": "22", "after": " 4\n"}])
    assert (row["before_right"], row["after_right"]) == (False, True)


def test_nothing_expected_is_never_met():
    (row,) = sample_rows([{"prompt": "Hi", "expected": None, "before": "", "after": ""}])
    assert (row["before_right"], row["after_right"]) == (False, False)


def test_nested_facts_become_rows():
    facts = {"data": {"rows_read": 3}, "sources": [{"rows": 1}, {"rows": 2}], "lengths": [1, 2], "none": []}
    assert fact_rows(facts) == [
        ("data: rows read", "3"),
        ("sources 1: rows", "1"),
        ("sources 2: rows", "2"),
        ("lengths", "[1, 2]"),
        ("none", "[]"),
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(8.06, "8.1 s"), (59.94, "59.9 s"), (247, "4 min 07 s"), (7380, "2 h 03 min")]
)
def test_times_read_well(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(("amount", "words"), [(812_000_000, "812 MB"), (1_400_000_000, "1.40 GB")])
def test_amounts_of_memory_read_well(amount, words):
    assert size(amount) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.123456, "0.1235"), (1204, "1204"), (40123, "40\u202f123"), (True, "true"), ([1, "é"], '[1, "é"]')],
)
def test_facts_read_well(value, words):
    assert text(value) == words
