"""A stage that trains on answers of a server, which loads the weights of each step before it is asked."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core.testing.server import loopback_server

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:prompts#16", shuffle: false}
reward: {orms: [{name: length, kwargs: {max_length: 2, slack: 6}}]}
rollout:
  num_generations: 4
  temperature: 1.5
  engine: openai
  engine_kwargs: {url: "URL/v1", model: tiny, reload: /update_weights_from_disk, weights_folder: served}
train:
  stage: grpo
  tuner_strategy: TUNER
  max_completion_length: 6
  max_steps: 3
  per_device_train_batch_size: 2
  learning_rate: 1e-3
  logging_steps: 1
  save_steps: 1
  save_total_limit: 9
output_dir: out
"""


class Server:
    """Answers with a model that it loads when it is told to, as SGLang does."""

    def __init__(self, tokenizer):
        self.tokenizer, self.model, self.loaded, self.drawn = tokenizer, None, [], []

    def __call__(self, path, body):
        if path == "/update_weights_from_disk":
            self.model = AutoModelForCausalLM.from_pretrained(body["model_path"])
            self.loaded.append(load_file(f"{body['model_path']}/model.safetensors"))
            return 200, {"success": True, "message": "Succeeded to update model weights."}
        ids = self.tokenizer(body["prompt"], return_tensors="pt", add_special_tokens=False)
        torch.manual_seed(body["seed"])
        sampling = {"do_sample": True, "temperature": body["temperature"], "top_k": 0}
        out = self.model.generate(**ids, max_new_tokens=body["max_tokens"], pad_token_id=0, **sampling)
        text = self.tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        self.drawn.append(len(self.loaded))
        return 200, {"choices": [{"text": text, "finish_reason": "stop"}]}


@pytest.fixture
def trained(swift, demo_folder):
    """Return a function from a tuner to (server, run directory) of a run that was trained through it."""

    def train(tuner):
        server = Server(AutoTokenizer.from_pretrained(demo_folder))
        with loopback_server(server) as live:
            swift.write("run.yaml", RUN.replace("URL", live.url).replace("TUNER", tuner))
            options = () if tuner == "full" else ("train.tuner_kwargs={lora_rank: 4}",)
            swift("train", "run.yaml", *options)
        return server, swift.folder / "out"

    return train


def test_every_step_draws_from_the_weights_that_it_trains(trained):
    server, out = trained("full")

    assert server.drawn == [1] * 8 + [2] * 8 + [3] * 8  # two prompts of four answers, a load before each step
    for step, (served, following) in enumerate(zip(server.loaded, server.loaded[1:], strict=False), 1):
        kept = load_file(out / f"checkpoint-{step}" / "model.safetensors")
        assert served.keys() == following.keys() == kept.keys()
        assert all(torch.equal(following[name], kept[name]) for name in kept)  # what step + 1 drew from
    first, *_, last = server.loaded
    assert any(not torch.equal(first[name], last[name]) for name in first)  # something was learned
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len([line for line in lines if "reward" in line]) == 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft reads it
def test_adapters_are_handed_over_merged(trained, demo_folder):
    from peft import PeftModel

    server, out = trained("lora")

    base = AutoModelForCausalLM.from_pretrained(demo_folder)
    adapted = PeftModel.from_pretrained(base, out / "checkpoint-2").merge_and_unload()
    merged = dict(adapted.named_parameters())
    assert server.loaded[2].keys() == merged.keys()
    for name, value in server.loaded[2].items():
        torch.testing.assert_close(value, merged[name].detach())
    first = dict(AutoModelForCausalLM.from_pretrained(demo_folder).named_parameters())
    assert all(torch.equal(value, first[name]) for name, value in server.loaded[0].items())
