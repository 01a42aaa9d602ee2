"""Secrets and texts in whole runs: canaries that must not turn up in what a run prints, logs, keeps or sends."""

import itertools
import json
import os
import subprocess
import sys

import pytest

from swift_core.config.load import parse
from swift_core.errors import SwiftError
from swift_core.testing.server import loopback_server
from swift_reward_zoo.judge.judge import Judge

KEY = "sk-canary-5bd1e0"
TEXT = "canarytext"
TOKENS = ("HF_TOKEN", "WANDB_API_KEY", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "JUDGE_KEY")
WATCHED = """\
import sys
log = open("sockets.txt", "w", buffering=1)
def watch(event, arguments):
    if event in ("socket.bind", "socket.connect", "socket.sendto"):
        print(event, arguments[1], file=log)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        print(event, arguments[0], file=log)
sys.addaudithook(watch)
from swift_core.cli.main import main
main(sys.argv[1:])
"""
SFT = """\
model: {model_id: "demo:tiny"}
data: {dataset: rows.jsonl, val_dataset: rows.jsonl}
train: {max_steps: 2, per_device_train_batch_size: 2, logging_steps: 1, save_steps: 1, max_completion_length: 4}
output_dir: out
"""
JUDGED = """\
model: {model_id: "demo:tiny"}
data: {dataset: rows.jsonl}
train: {stage: grpo, max_steps: 2, per_device_train_batch_size: 2, logging_steps: 1, max_completion_length: 4}
rollout: {num_generations: 2, log_completions: 8}
reward:
  on_error: mask
  max_failure_rate: 0.9
  orms: [exact_match, {name: judge, kwargs: {url: "URL", model: any, api_key_env: JUDGE_KEY}}]
output_dir: out
"""
PLACES_OF_TEXT = {"result.json", "report.html", "completions.jsonl"}
"""Where the documentation says that texts are kept."""


@pytest.fixture
def watched(tmp_path, demo_folder):
    """Return a function (run file, overrides) -> what the run printed, and the files of its directory with a canary."""
    rows = [{"prompt": f"{TEXT} {n}+1?", "completion": f"{TEXT} {n + 1}", "ground_truth": str(n)} for n in range(6)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(text, *overrides):
        (tmp_path / "run.yaml").write_text(text)
        done = subprocess.run(
            [sys.executable, "-c", WATCHED, "train", "run.yaml", *overrides],
            cwd=tmp_path,
            env={**os.environ, **dict.fromkeys(TOKENS, KEY), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == 0, printed
        files = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
        assert len(files) > 10
        return printed, *({path.name for path in files if word.encode() in files[path]} for word in (KEY, TEXT))

    return run


def sockets(folder):
    return (folder / "sockets.txt").read_text().splitlines()


def test_a_run_that_keeps_no_text_prints_and_writes_none_and_opens_no_socket(watched, tmp_path):
    printed, with_key, with_text = watched(SFT, "train.keep_text=false")
    assert TEXT not in printed
    assert KEY not in printed
    assert (with_key, with_text) == (set(), set())
    assert sockets(tmp_path) == []


def test_a_judged_run_keeps_texts_where_it_says_so_and_its_key_nowhere(watched, tmp_path):
    marks = itertools.cycle(["", " [[7]]"])

    def echo(path, body):
        echoed = json.dumps(body).replace("[[7]]", "")
        return 200, {"choices": [{"message": {"content": f"Marking {echoed}{next(marks)}"}}]}

    with loopback_server(echo) as server:
        printed, with_key, with_text = watched(JUDGED.replace("URL", server.url))
        assert server.asked[0][2]["Authorization"] == f"Bearer {KEY}"
        port = server.url.rpartition(":")[2]
    assert TEXT not in printed
    assert "the judge's reply gives no mark" in printed
    assert KEY not in printed
    assert with_key == set()
    assert "completions.jsonl" in with_text
    assert with_text <= PLACES_OF_TEXT
    assert {line for line in sockets(tmp_path) if "connect" in line} == {f"socket.connect ('127.0.0.1', {port})"}
    assert not [line for line in sockets(tmp_path) if "bind" in line]


@pytest.mark.parametrize("key", ["api_key", "apiKey", "API-KEY", "hf_token", "password", "Authorization", "db_secret"])
def test_a_secret_in_a_run_file_is_refused_and_not_repeated(tmp_path, key):
    text = (
        f"model: {{model_id: demo:tiny}}\ndata: {{dataset: demo:chat}}\nrollout: {{engine_kwargs: {{{key}: {KEY}}}}}\n"
    )
    with pytest.raises(SwiftError, match="secret-in-file") as caught:
        parse(text, tmp_path / "run.yaml")
    assert KEY not in str(caught.value)
    assert {problem.place.line for problem in caught.value.problems} == {3}


@pytest.mark.parametrize("key", ["step_token", "api_key_env", "pad_token", "keyboard", "secretary"])
def test_what_only_sounds_like_a_secret_is_taken(tmp_path, key):
    text = f"model: {{model_id: demo:tiny}}\ndata: {{dataset: demo:chat}}\nrollout: {{engine_kwargs: {{{key}: x}}}}\n"
    parse(text, tmp_path / "run.yaml")


def test_a_message_quotes_a_judge_only_when_it_is_told_to(monkeypatch):
    judge = Judge(url="http://localhost:1", model="any")
    reply = {"choices": [{"message": {"content": f"{TEXT}, so no mark"}}]}
    told = []
    monkeypatch.setattr("swift_reward_zoo.judge.judge.report_failure", lambda row, kind, message: told.append(message))
    judge._score(0, reply)
    monkeypatch.setenv("SWIFT_SHOW_TEXT", "1")
    judge._score(0, reply)
    assert TEXT not in told[0]
    assert "22 characters" in told[0]
    assert TEXT in told[1]
