"""`swift sample` over a server: no model is loaded here; and over `transformers serve`, answers are the model's own."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from tests.runs.ranks import free_port

from swift_core.testing.server import loopback_server

SERVED = all(importlib.util.find_spec(name) for name in ("fastapi", "uvicorn", "openai"))
RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:prompts#4"}
reward: {orms: [{name: length, kwargs: {max_length: 40}}]}
rollout: {num_generations: 2, engine: openai, engine_kwargs: {url: "URL", model: "MODEL"}}
train: {max_completion_length: 12}
"""


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_answers_of_a_server_are_scored_and_kept_and_no_weights_are_needed(swift, demo_folder):
    def answer(path, body):
        return 200, {"choices": [{"text": f"seven {body['seed'] % 97}", "finish_reason": "stop"}]}

    with loopback_server(answer) as server:
        weightless = shutil.copytree(demo_folder, swift.folder / "m", ignore=shutil.ignore_patterns("*.safetensors"))
        assert (weightless / "config.json").exists()
        run = RUN.replace("demo:tiny", "./m").replace("URL", f"{server.url}/v1").replace("MODEL", "any")
        swift.write("run.yaml", run)
        printed = swift("sample", "run.yaml", "-o", "kept.jsonl", "--keep", "all")
        assert len(server.asked) == 8
        assert all("assistant" in body["prompt"] for _, body, _ in server.asked)
    assert "8 answers to 4 prompts" in printed
    assert all(row["messages"][-1]["content"].startswith("seven ") for row in rows(swift.folder / "kept.jsonl"))


@pytest.fixture
def transformers_serve(demo_folder, tmp_path):
    """Start `transformers serve` with demo:tiny; yield its base address."""
    port = free_port()
    command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve"]
    command += [str(demo_folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = (tmp_path / "serve.log").open("w")
    with log, subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT) as process:
        try:
            for _ in range(300):
                assert process.poll() is None, (tmp_path / "serve.log").read_text()
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                    break
                except (urllib.error.URLError, OSError):
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.skipif(not SERVED, reason="transformers serve needs fastapi, uvicorn and openai")
def test_transformers_serve_gives_the_answers_that_the_model_gives_itself(swift, demo_folder, transformers_serve):
    served = RUN.replace("URL", transformers_serve).replace("MODEL", str(demo_folder))
    served = served.replace("num_generations: 2", "num_generations: 1")
    swift.write("served.yaml", served)
    begin, _, end = served.partition(", engine: openai")
    swift.write("own.yaml", begin + "}\n" + end.partition("\n")[2])
    for name in ("served", "own"):
        swift("sample", f"{name}.yaml", "-o", f"{name}.jsonl", "--keep", "all", "rollout.temperature=1e-6")
    answers = [[row["messages"][-1]["content"] for row in rows(swift.folder / f"{n}.jsonl")] for n in ("served", "own")]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 4
