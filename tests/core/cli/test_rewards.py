"""`swift rewards lint`: how every ground truth is read, and which are refused."""

import json

import pytest

from swift_core.cli.main import main

RUN = "model: {{model_id: 'demo:tiny'}}\ndata: {{dataset: rows.jsonl}}\nreward: {{orms: [{orms}]}}\n"


@pytest.fixture
def lint(tmp_path, capsys):
    """Return a function from rewards and ground truths to (exit code, stdout, stderr)."""

    def run(orms, *truths, options=()):
        rows = [{"prompt": "q", "ground_truth": truth} for truth in truths]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "run.yaml").write_text(RUN.format(orms=orms))
        with pytest.raises(SystemExit) as left:
            main(["rewards", "lint", str(tmp_path / "run.yaml"), *options])
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


def test_each_ground_truth_is_shown_as_read_with_its_score(lint):
    code, out, _ = lint("math", "So #### 1,004", r"2\sqrt{3}")
    first, second, summary = out.splitlines()
    assert code == 0
    assert first.endswith("rows.jsonl:1  So #### 1,004  ->  1004  scores 1")
    assert second.endswith(r"rows.jsonl:2  2\sqrt{3}  ->  2\sqrt{3}  scores 1")
    assert summary == "2 ground truths: 0 refused, 0 do not score 1 against themselves"


def test_refused_rows_are_told_with_file_and_line_and_the_exit_code_is_2(lint):
    code, out, err = lint("final_number", "7", "many", "8", "few", options=("--refused-only",))
    assert code == 2
    assert [line.partition("  ")[0].rpartition(":")[2] for line in out.splitlines()[:-1]] == ["2", "4"]
    assert "4 ground truths: 2 refused" in out
    assert "rows.jsonl:2:1: error[ground-truth]: The reward 'final_number' cannot read the ground truth" in err
    assert "rows.jsonl:4:1" in err


def test_every_reward_that_reads_ground_truths_is_asked_and_the_others_are_named(lint):
    code, out, _ = lint("final_number, format, exact_match", "7.0")
    assert code == 0
    assert "format: reads no ground truth" in out
    assert "final_number  7.0  ->  7  scores 1" in out
    assert "exact_match  7.0  ->  7.0  scores 1" in out


def test_without_a_reward_that_reads_them_there_is_nothing_to_check(lint):
    code, _, err = lint("format", "7")
    assert code == 2
    assert "No reward of reward.orms reads ground truths" in err
