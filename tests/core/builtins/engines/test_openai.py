"""The engine over a server: what is sent, and what becomes of the replies."""

import pytest
import torch
from transformers import AutoTokenizer

from swift_core.assemble.encoder import HfEncoder
from swift_core.builtins.engines.openai import OpenAIEngine
from swift_core.errors import SwiftError
from swift_core.plugin_api import SamplingParams
from swift_core.testing.server import loopback_server


@pytest.fixture(scope="module")
def encoder(tiny_folder):
    return HfEncoder(AutoTokenizer.from_pretrained(tiny_folder), {})


@pytest.fixture
def asked(encoder):
    """Return a function from prompts to (rollouts, requests) of a server that repeats the prompt and its seed."""

    def ask(texts, params, *, reason="stop", **options):
        def answer(path, body):
            said = f"{body['prompt']} {body['seed']}"
            return 200, {"choices": [{"text": said, "finish_reason": reason}]}

        with loopback_server(answer) as server:
            engine = OpenAIEngine(url=f"{server.url}/v1", model="m", **options)
            engine.use_encoder(encoder)
            drawn = engine.generate([encoder.encode(text) for text in texts], params)
            return drawn, [(path, body) for path, body, _ in server.asked]

    return ask


def test_every_prompt_gets_its_answers_in_order_each_with_a_seed_of_its_own(asked, encoder):
    params = SamplingParams(num_answers=2, max_tokens=9, temperature=0.5, top_p=0.9, seed=40, stop_token_ids=(3,))
    groups, requests = asked(["one", "two", "three"], params)
    texts = [[encoder.decode(rollout.answer_ids[:-1]) for rollout in group] for group in groups]
    assert texts == [["one 40", "one 41"], ["two 42", "two 43"], ["three 44", "three 45"]]
    assert all(rollout.finished and rollout.answer_ids[-1] == 3 for group in groups for rollout in group)
    assert [encoder.decode(group[0].prompt_ids) for group in groups] == ["one", "two", "three"]
    path, body = min(requests, key=lambda request: request[1]["seed"])
    assert path == "/v1/completions"
    assert body == {
        "model": "m", "prompt": "one", "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "seed": 40,
    }  # fmt: skip


def test_an_answer_that_was_cut_has_no_end(asked, encoder):
    (((rollout,),), _) = asked(["one"], SamplingParams(seed=1, stop_token_ids=(3,)), reason="length")
    assert not rollout.finished
    assert encoder.decode(rollout.answer_ids) == "one 1"


def test_token_ids_and_further_fields_are_sent_where_asked_for(asked, encoder):
    _, ((_, body),) = asked(["one"], SamplingParams(top_k=5), prompts="ids", extra={"stop_token_ids": [2]})
    assert body["prompt"] == encoder.encode("one")
    assert body["top_k"] == 5
    assert body["stop_token_ids"] == [2]


@pytest.mark.parametrize("reply", [(404, {"error": "no model m"}), (200, {"choices": []}), (200, b"?"), (200, [])])
def test_a_server_that_gives_no_answer_stops_the_job_with_a_next_step(encoder, reply):
    with loopback_server(lambda path, body: reply) as server:
        engine = OpenAIEngine(url=server.url, model="m")
        engine.use_encoder(encoder)
        with pytest.raises(SwiftError, match=r"engine-failed.*127\.0\.0\.1") as error:
            engine.generate([[5]], SamplingParams())
        assert "swift sample goes on" in str(error.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"reload": "/x"}, "reload and weights_folder go together"),
        ({"weights_folder": "w"}, "reload and weights_folder go together"),
        ({"reload": "http://other/x", "weights_folder": "w"}, "reload is a path on the server"),
    ],
)
def test_what_cannot_be_reloaded_is_refused(options, text):
    with pytest.raises(ValueError, match=text):
        OpenAIEngine(url="http://localhost:1/v1", model="m", **options)


@pytest.mark.parametrize(
    "reply", [(200, {"success": False, "message": "canary"}), (200, {}), (404, {"detail": "Not Found"}), (200, [1])]
)
def test_weights_that_a_server_did_not_load_stop_the_run(tiny_folder, tmp_path, reply):
    with loopback_server(lambda path, body: reply) as server:
        engine = OpenAIEngine(url=f"{server.url}/v1", model="m", reload="/load", weights_folder=str(tmp_path / "w"))
        engine.open(tiny_folder)
        with pytest.raises(SwiftError) as caught:
            engine.update_weights({"a": torch.ones(2)}, 3)
    assert "canary" not in str(caught.value)
    ((path, body, _),) = server.asked
    assert (path, body) == ("/load", {"model_path": str(tmp_path / "w"), "weight_version": "3"})
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {file.name for file in (tmp_path / "w").iterdir()}
